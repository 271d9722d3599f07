"""`python -m tests.edgewise.models.crashing FOLDER SCENARIO CUT`: a change of a store, killed at every step.

Each time a real process is forked, changes a fresh store, and is ended by SIGKILL; this one then looks at what is left,
and repeats the change. Prints what was tried and what was wrong, as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edgewise.models import Disk, ModelStore
from edgewise.models.layout import Layout
from tests.edgewise.models.directories import faults_of, write_directory
from tests.edgewise.models.failing_disks import ForgetfulDisk, LinklessDisk, QuickDisk, killed_at

OLD, NEW, SHARED = b"old tensor", b"new tensor", b"tensor of both"


PROMISED = "promised"
"""Beside a store: the version that an install said is there."""


class Scenario:
    """A store that is prepared, one change of it, and which versions may be in use at any time of it."""

    def __init__(self, place: Path) -> None:
        self.place, self.base = place, place / "base"
        self.old = write_directory(place / "old", (OLD, SHARED)).id
        self.new = write_directory(place / "new", (NEW, SHARED), model=b"another graph").id

    def prepare(self) -> None:
        self.add(self.base, "old")

    def add(self, folder: Path, name: str, disk: Disk | None = None) -> None:
        store = ModelStore(folder, disk or QuickDisk())
        version = store.install(self.place / name).version
        (folder.parent / PROMISED).write_text(version)
        store.use(version)

    def change(self, folder: Path, disk: Disk) -> None:
        self.add(folder, "new", disk)

    def allowed(self) -> set[str | None]:
        return {self.old, self.new}

    def wanted(self) -> tuple[str | None, str | None]:
        """Current and previous afterwards."""
        return self.new, self.old


class First(Scenario):
    def prepare(self) -> None:
        self.base.mkdir()

    def allowed(self) -> set[str | None]:
        return {None, self.new}

    def wanted(self) -> tuple[str | None, str | None]:
        return self.new, None


class GoBack(Scenario):
    def prepare(self) -> None:
        self.add(self.base, "old")
        self.add(self.base, "new")

    def change(self, folder: Path, disk: Disk) -> None:
        if ModelStore(folder).current == self.new:
            ModelStore(folder, disk).go_back()

    def wanted(self) -> tuple[str | None, str | None]:
        return self.old, None


class Remove(GoBack):
    def change(self, folder: Path, disk: Disk) -> None:
        if self.old in Layout(folder).installed():
            ModelStore(folder, disk).remove(self.old)
        else:
            ModelStore(folder, disk).install(self.place / "new")

    def allowed(self) -> set[str | None]:
        return {self.new}

    def wanted(self) -> tuple[str | None, str | None]:
        return self.new, None


class Mend(GoBack):
    """A content that both versions have rots; the new version is installed again."""

    def prepare(self) -> None:
        super().prepare()
        store = ModelStore(self.base)
        rotten = next(path for path in (self.base / "objects").iterdir() if path.read_bytes() == SHARED)
        rotten.chmod(0o644)
        rotten.write_bytes(SHARED[::-1])
        assert len(store.verify()) == 2

    def change(self, folder: Path, disk: Disk) -> None:
        ModelStore(folder, disk).install(self.place / "new")

    def wanted(self) -> tuple[str | None, str | None]:
        return self.new, self.old


class MendCopies(Mend):
    """The same where there are no links, and the copy of the version that is not installed again rots."""

    def prepare(self) -> None:
        for name in ("old", "new"):
            self.add(self.base, name, LinklessDisk())
        folder = self.base / "versions" / self.old / "tensors"
        rotten = next(path for path in folder.iterdir() if path.read_bytes() == SHARED)
        rotten.chmod(0o644)
        rotten.write_bytes(SHARED[::-1])


SCENARIOS: dict[str, type[Scenario]] = {
    "first": First, "update": Scenario, "go-back": GoBack, "remove": Remove, "mend": Mend,
    "update-without-links": Scenario, "mend-without-links": MendCopies,
}  # fmt: skip


def run(name: str, place: Path, cut: str) -> dict[str, object]:
    """Every step of one scenario: how many there were, and what was wrong after which."""
    scenario = SCENARIOS[name](place)
    scenario.prepare()
    faults: list[str] = []
    step = 1
    (place / PROMISED).unlink(missing_ok=True)
    while _is_killed(scenario, name, place / "store", step, cut):
        seen = _look(scenario, place / "store", mended=name.startswith("mend"))
        faults += [f"step {step}: {fault}" for fault in seen]
        step += 1
    if (found := _standing(place / "store")) != scenario.wanted():  # the power was cut when all was said to be done
        faults.append(f"at the end {found}")
    faults += [f"at the end: {fault}" for fault in faults_of(place / "store", settled=False)]
    return {"steps": step - 1, "faults": faults[:20]}


def _is_killed(scenario: Scenario, name: str, folder: Path, step: int, cut: str) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    (folder.parent / PROMISED).unlink(missing_ok=True)
    subprocess.run(["cp", "-a", scenario.base, folder], check=True)  # with its hard links

    def work() -> None:
        disk = _disk(name, step, cut)
        scenario.change(folder, disk)
        if isinstance(disk, ForgetfulDisk):
            disk.forget()

    return _ended(work) == signal.SIGKILL


def _standing(folder: Path) -> tuple[str | None, str | None]:
    store = ModelStore(folder)
    return store.current, store.previous


def _disk(name: str, step: int, cut: str) -> Disk:
    disk = killed_at(step, cut)
    if name.endswith("without-links"):
        disk.link = LinklessDisk().link  # type: ignore[method-assign]
    return disk


def _ended(work: Callable[[], None]) -> int:
    """Do `work` in a child of its own; the signal that ended it, 0 for none. Raises RuntimeError when it failed."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("the change failed by itself")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _look(scenario: Scenario, folder: Path, mended: bool) -> list[str]:
    faults = [] if mended else faults_of(folder, settled=False)
    promised = folder.parent / PROMISED
    if promised.exists() and promised.read_text() not in Layout(folder).installed():
        faults.append("a version that was said to be installed is not there")
    if ModelStore(folder).current not in scenario.allowed():
        faults.append(f"in use is {ModelStore(folder).current}")
    scenario.change(folder, QuickDisk())
    if (found := _standing(folder)) != scenario.wanted():
        faults.append(f"afterwards {found}")
    return faults + faults_of(folder, settled=True)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[2], Path(sys.argv[1]), sys.argv[3])))
