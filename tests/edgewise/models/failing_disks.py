"""Disks that end the process, lose what was not flushed, or are full, at one chosen step."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

from edgewise.models.disk import READ_ONLY, Disk

CHANGES = (
    "make_folder", "create", "write", "flush", "link", "fill", "rename", "point", "unlink", "remove_folder",
    "flush_folder",
)  # fmt: skip


class QuickDisk(Disk):
    """Waits for no platter: what a process has written outlives the process."""

    def flush(self, file: FileIO) -> None:
        os.fchmod(file.fileno(), READ_ONLY)

    def flush_folder(self, path: Path) -> None:
        assert path.is_dir()


class SteppedDisk(QuickDisk):
    """Calls `reached` before the step `at` (from 1), and when it writes, in the middle of the block."""

    def __init__(self, at: int, reached: Callable[[], None]) -> None:
        self.at, self.steps = at, 0
        self._reached = reached

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return self._step(name, found) if name in CHANGES else found

    def _step(self, name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any) -> Any:
            self.steps += 1
            if self.steps == self.at:
                if name == "write":
                    change(given[0], given[1][: len(given[1]) // 2])
                self._reached()
            return change(*given)

        return step


def killed_at(at: int, cut: str = "killed") -> SteppedDisk:
    """SIGKILL to this process at a step; with a power cut, what was not flushed is lost, content and names."""
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    if cut == "killed":
        return SteppedDisk(at, kill)
    return ForgetfulDisk(at, kill, keeps_newest=cut == "power-cut-out-of-turn")


def full_at(at: int, number: int = errno.ENOSPC) -> SteppedDisk:
    """Refuses a step, and everything that would take room from then on."""

    def refuse() -> None:
        disk.at = -1
        raise OSError(number, os.strerror(number))

    disk = SteppedDisk(at, refuse)
    return disk


class LinklessDisk(QuickDisk):
    """A file system without hard links."""

    def link(self, source: Path, target: Path) -> bool:
        return False


class ForgetfulDisk(SteppedDisk):
    """Knows what was not flushed, and loses it at a cut of the power: content of files, and names in folders.

    Names are lost newest first, each in its folder wherever that is by then; with `keeps_newest` the last one is
    not: it was written out of turn. Removals are not lost: what would come back is a leftover like any other.
    """

    def __init__(self, at: int, end: Callable[[], None], *, keeps_newest: bool = False) -> None:
        super().__init__(at, self._cut)
        self._end = end
        self._kept = int(keeps_newest)
        self._unflushed: dict[int, int] = {}
        self._named: list[tuple[tuple[int, int], Callable[[], None]]] = []
        self._flushed_at: dict[tuple[int, int], int] = {}

    def make_folder(self, path: Path) -> None:
        new = not path.exists()
        super().make_folder(path)
        if new:
            folder = _handle(path.parent)
            self._note(path.parent, lambda: shutil.rmtree(path.name, dir_fd=folder))

    def create(self, path: Path) -> FileIO:
        file = super().create(path)
        self._unflushed[os.fstat(file.fileno()).st_ino] = os.dup(file.fileno())
        self._added(path)
        return file

    def flush(self, file: FileIO) -> None:
        super().flush(file)
        os.close(self._unflushed.pop(os.fstat(file.fileno()).st_ino))

    def link(self, source: Path, target: Path) -> bool:
        linked = super().link(source, target)
        if linked:
            self._added(target)
        return linked

    def point(self, path: Path, to: str) -> None:
        super().point(path, to)
        self._added(path)

    def rename(self, source: Path, target: Path) -> None:
        old, new, kept = _handle(source.parent), _handle(target.parent), None
        if target.is_symlink() or target.exists():
            kept = Path(tempfile.mkdtemp(dir=_beside(target)), "kept")
            os.link(target, kept, follow_symlinks=False)
        super().rename(source, target)

        left, now = _identity(source.parent), self.steps

        def undo() -> None:
            if self._flushed_at.get(left, 0) > now:  # the old name is gone for good
                _remove(target.name, new)
            else:
                os.rename(target.name, source.name, src_dir_fd=new, dst_dir_fd=old)
            if kept is not None:
                os.rename(kept, target.name, dst_dir_fd=new)

        self._note(target.parent, undo)

    def flush_folder(self, path: Path) -> None:
        super().flush_folder(path)
        flushed = _identity(path)
        self._flushed_at[flushed] = self.steps
        self._named = [(folder, undo) for folder, undo in self._named if folder != flushed]

    def forget(self) -> None:
        """The power is cut."""
        for handle in self._unflushed.values():
            os.ftruncate(handle, 0)
        for _, undo in reversed(self._named[: len(self._named) - self._kept]):
            with contextlib.suppress(FileNotFoundError):  # it has another name by now
                undo()

    def _cut(self) -> None:
        self.forget()
        self._end()

    def _added(self, path: Path) -> None:
        folder = _handle(path.parent)
        self._note(path.parent, lambda: os.unlink(path.name, dir_fd=folder))

    def _note(self, folder: Path, undo: Callable[[], None]) -> None:
        self._named.append((_identity(folder), undo))


def _handle(folder: Path) -> int:
    """Leads to the folder under whatever name; the process ends soon."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _remove(name: str, folder: int) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def _beside(path: Path) -> Path:
    """Outside of the store that `path` is in, on the same file system."""
    return next(each for each in path.parents if (each / "objects").is_dir()).parent
