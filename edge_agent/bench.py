"""This device's table: the agent's engine by threads and spinning, each setting in a process of its own.

What is measured is bench_measure.py's; the terminal is edgewise/cli/agent_bench.py's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]

from edge_agent.bench_measure import BenchSetting, Measured
from edge_agent.config import THREADS_MAX
from edgewise.graphs import kernel_id
from edgewise.wire.errors import TierError
from edgewise.wire.manifest import load_manifest

CHILD_EXTRA_S = 120.0
"""Beyond a setting's own seconds: loading, packing, and a round on a slow device. Then it is given up."""
LOOK_S = 0.3
NEAR = 0.97
"""A setting this near to the fastest is as good: the one with fewer threads is taken."""
Progress = Callable[[str, int, int], None]
"""What is run now, how many settings are done, of how many."""


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that could not be run, and its last words."""

    threads: int
    spinning: bool
    reason: str


class DeviceTable(msgspec.Struct, frozen=True, kw_only=True):
    """What a device can do with a model. `best_threads` is the setting to take; spinning is never recommended.

    `busy_pct`: how busy the processor was with other work just before; `spinning_gain`: see that function.
    """

    model: str
    version: str
    kernels: str
    cores: int
    busy_pct: float
    rows: list[Measured]
    failed: list[Failed]
    best_threads: int
    spinning_gain: float | None


class BenchFailedError(TierError):
    """No setting could be run on this device."""

    number, code = 1450, "bench_failed"


def bench(directory: Path, machine_dir: Path, seconds: float, progress: Progress = lambda *_: None) -> DeviceTable:
    """Measure a model directory for about `seconds` in all. The weights are packed into `machine_dir` first, as the
    agent does it, outside that time.

    Raises ModelMissingError, ModelDigestError, ManifestError, BenchFailedError.
    """
    manifest = load_manifest(directory)
    busy_pct = float(psutil.cpu_percent(interval=LOOK_S))
    settings = plan(directory, machine_dir, seconds, os.cpu_count() or 1)
    rows: list[Measured] = []
    failed: list[Failed] = []
    progress("packing the weights", 0, len(settings))
    _run(msgspec.structs.replace(settings[0], seconds=0.0))
    for done, setting in enumerate(settings):
        progress(words(setting), done, len(settings))
        found = _run(setting)
        if isinstance(found, Measured):
            rows.append(found)
        else:
            failed.append(found)
    progress("", len(settings), len(settings))
    if not rows:
        raise _nothing_ran(directory, failed)
    return DeviceTable(
        model=manifest.name,
        version=manifest.id,
        kernels=kernel_id(),
        cores=os.cpu_count() or 1,
        busy_pct=busy_pct,
        rows=rows,
        failed=failed,
        best_threads=best_threads(rows),
        spinning_gain=spinning_gain(rows),
    )


def plan(directory: Path, machine_dir: Path, seconds: float, cores: int) -> list[BenchSetting]:
    """1, 2, … threads, up to the cores and the agent's most; two and more also spinning: one has nobody to wait for."""
    pairs = [
        (threads, spinning)
        for threads in range(1, min(cores, THREADS_MAX) + 1)
        for spinning in (False, True)
        if threads > 1 or not spinning
    ]
    share = seconds / len(pairs)
    return [
        BenchSetting(
            directory=str(directory), machine_dir=str(machine_dir), threads=threads, spinning=spinning, seconds=share
        )
        for threads, spinning in pairs
    ]


def best_threads(rows: Sequence[Measured]) -> int:
    """The fewest threads whose decoding is near the fastest of those that do not spin."""
    quiet = [row for row in rows if not row.spinning] or list(rows)
    fastest = max(row.decode_tokens_per_s for row in quiet)
    return min(row.threads for row in quiet if row.decode_tokens_per_s >= NEAR * fastest)


def spinning_gain(rows: Sequence[Measured]) -> float | None:
    """Decoding of the fastest spinning setting over the fastest quiet one; None where one of them is missing."""
    by_kind = [[row.decode_tokens_per_s for row in rows if row.spinning is kind] for kind in (True, False)]
    return max(by_kind[0]) / max(by_kind[1]) if all(by_kind) else None


def words(setting: BenchSetting | Measured | Failed) -> str:
    """A setting for people."""
    threads = f"{setting.threads} thread{'s' if setting.threads > 1 else ''}"
    return f"{threads}, spinning" if setting.spinning else threads


def _run(setting: BenchSetting) -> Measured | Failed:
    command = [sys.executable, "-m", "edge_agent.bench_measure"]
    asked, limit = msgspec.json.encode(setting), setting.seconds + CHILD_EXTRA_S
    try:
        done = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=limit)  # noqa: S603
    except subprocess.TimeoutExpired:
        return _failed(setting, f"not finished after {limit:.0f} s")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return _failed(setting, lines[-1] if lines else f"it ended with {done.returncode}")
    return msgspec.json.decode(done.stdout, type=Measured)


def _failed(setting: BenchSetting, reason: str) -> Failed:
    return Failed(threads=setting.threads, spinning=setting.spinning, reason=reason[:300])


def _nothing_ran(directory: Path, failed: Sequence[Failed]) -> BenchFailedError:
    return BenchFailedError(
        f"The model could not be run with any setting: {failed[0].reason}",
        where=str(directory),
        expected="a model that this device can load and run",
        remedy="free some memory, or take a smaller model",
    )
