"""The measuring of the edge benchmark: rounds in which every engine takes its turn. No verdicts: those are rows."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from benchmarks.edge_models import Say
from benchmarks.edge_peers import Subject
from benchmarks.edge_process import EngineProcess, PeerError
from edge_agent.bench_measure import memory_mb

PROMPT_TOKENS: Final = 256
SHORT_TOKENS: Final = 32
WRITTEN_TOKENS: Final = 64
_IDS: Final = range(3, 250)
"""Ids that every vocabulary has."""


@dataclass(kw_only=True)
class Samples:
    """What one subject showed, a value a round; memory after the first answer (`kept_mb`: anonymous, after all of them,
    with the contexts that an engine keeps for later prompts). `reason` where it could not go on: what is not a number
    then was never measured, and no floor is compared with it."""

    decode: list[float] = field(default_factory=list)
    decode_cpu_ms: list[float] = field(default_factory=list)
    prefill: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    first_ms_by_tokens: dict[int, list[float]] = field(default_factory=dict)
    rss_mb: float = math.nan
    anonymous_mb: float = math.nan
    kept_mb: float = math.nan
    load_s: float = math.nan
    reason: str = ""


def prompt(tokens: int, seed: int) -> list[int]:
    """Token ids drawn by `seed`: no two prompts share a start, so no engine has seen one before."""
    source = random.Random(f"{tokens} {seed}")
    return [source.choice(_IDS) for _ in range(tokens)]


class Turn(Protocol):
    """What a subject is asked in one round."""

    def __call__(self, process: EngineProcess, samples: Samples, seed: int, *, counted: bool) -> None: ...


def in_turn(subjects: Sequence[Subject], rounds: int, say: Say, take: Turn | None = None) -> dict[Subject, Samples]:
    """Every subject in a process of its own, all held open, A B C A B C; one round before the first is not counted."""
    take = take or _take_turn
    found = {subject: Samples() for subject in subjects}
    with ExitStack() as stack:
        running = dict(_started(found, stack, say))
        for turn in range(rounds + 1):
            say(f"round {turn} of {rounds}")
            for subject, process in list(running.items()):
                try:
                    take(process, found[subject], turn, counted=turn > 0)
                    if turn == 0:
                        found[subject].rss_mb, found[subject].anonymous_mb = memory_of(process)
                except PeerError as error:
                    found[subject].reason = str(error)
                    del running[subject]
        for subject, process in running.items():
            found[subject].kept_mb = memory_of(process)[1]
    return found


def _started(found: dict[Subject, Samples], stack: ExitStack, say: Say) -> Iterator[tuple[Subject, EngineProcess]]:
    for subject, samples in found.items():
        say(f"loading {subject.engine}, {subject.words}")
        try:
            process = subject.start()
        except PeerError as error:
            samples.reason = str(error)
            continue
        stack.callback(process.close)
        samples.load_s = process.opened["wall_s"]
        yield subject, process


def _take_turn(process: EngineProcess, samples: Samples, seed: int, *, counted: bool) -> None:
    """A short prompt's first token, then a prompt of 256 and 64 tokens after it. A process asked twice with one `seed`
    would find the first turn's rows again."""
    short = process.ask("read", ids=prompt(SHORT_TOKENS, seed))
    whole = process.ask("read", ids=prompt(PROMPT_TOKENS, seed))
    written = process.ask("write", count=WRITTEN_TOKENS)
    if counted:
        samples.first_ms.append(1e3 * short["wall_s"])
        samples.prefill.append(PROMPT_TOKENS / whole["wall_s"])
        samples.decode.append(WRITTEN_TOKENS / written["wall_s"])
        samples.decode_cpu_ms.append(1e3 * written["cpu_s"] / WRITTEN_TOKENS)


@contextmanager
def both_cores_busy(cores: int = 2) -> Iterator[None]:
    """That many processes that do nothing but count, for as long as the block runs."""
    spin = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(spin) for _ in range(cores)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def idle_and_busy(subject: Subject, rounds: int) -> tuple[list[float], list[float]]:
    """Decode tokens/s alone, and with both cores busy with other work, in turn. Raises PeerError."""
    idle, busy = Samples(), Samples()
    process = subject.start()
    try:
        for turn in range(rounds + 1):
            _take_turn(process, idle, 2 * turn, counted=turn > 0)
            with both_cores_busy():
                _take_turn(process, busy, 2 * turn + 1, counted=turn > 0)
    finally:
        process.close()
    return idle.decode, busy.decode


def memory_of(process: EngineProcess) -> tuple[float, float]:
    """Resident and anonymous memory of an engine's process in MB; not a number where the kernel does not tell."""
    rss, anonymous = memory_mb(str(process.pid))
    return (math.nan if rss is None else rss, math.nan if anonymous is None else anonymous)


def peak_mb(process: EngineProcess) -> float:
    """The most resident memory that a process ever had, in MB; not a number where the kernel does not tell."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), math.nan)
