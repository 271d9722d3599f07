"""Kinds of jobs for tests: a body of three stages that leaves a line in a file each time that a stage is worked on."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import msgspec

from cloud_worker.forge.jobs.kinds import Bench, BodyKind
from cloud_worker.forge.jobs.stages import Progress, Stages
from edgewise.wire.errors import BadRequestError
from tests.control_plane.jobs.forge_module import StagedPayload


class StagedResult(msgspec.Struct, frozen=True):
    """The stages, in order."""

    stages: list[str]


def staged(payload: StagedPayload, bench: Bench, progress: Progress) -> StagedResult:
    """Work on three stages; in the one that `hold` names, wait for ever at the first try, with a grandchild."""
    stages = Stages(bench.folder, progress)
    return StagedResult([stages.once(name, str, partial(_work, name, payload, bench)) for name in ("a", "b", "c")])


def _work(name: str, payload: StagedPayload, bench: Bench) -> str:
    tries = bench.folder / f"tries-{name}"
    is_first = not tries.exists()
    with tries.open("a") as file:
        file.write("x")
    if payload.hold == name and is_first:
        beside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (bench.folder / "grandchild").write_text(str(beside.pid))
        (bench.folder / "held").touch()
        time.sleep(60)
    return name


def broken(payload: StagedPayload, bench: Bench, progress: Progress) -> StagedResult:
    """Fail as the payload says."""
    if payload.hold == "typed":
        raise BadRequestError("This cannot be", where="here")
    if payload.hold == "foreign":
        raise ValueError("my secret is 4711")
    print("printed by a library", flush=True)
    (bench.folder / "model").mkdir()
    raise SystemExit(3)


_STAGES = {"a": 1.0, "b": 2.0, "c": 1.0}
BODIES = (
    BodyKind(name="test.staged", payload=StagedPayload, body=f"{__name__}:staged", stages=_STAGES),
    BodyKind(name="test.broken", payload=StagedPayload, body=f"{__name__}:broken", stages=_STAGES),
    BodyKind(name="test.model", payload=StagedPayload, body=f"{__name__}:staged", stages=_STAGES, models=("hold",)),
)


def tries(folder: Path) -> dict[str, int]:
    """How often each stage was worked on."""
    return {path.name[-1]: len(path.read_text()) for path in sorted(folder.glob("tries-*"))}
