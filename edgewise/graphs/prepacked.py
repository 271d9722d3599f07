"""Weights in the order that this machine's kernels read, kept beside the model: a quarter of the load time, and pages
that are mapped instead of copied. Made on the machine, keyed by content and kernels, never distributed.

FOLDER/<key>/model.onnx, weights.bin, note.json      the note comes last: a folder without a right one is not there
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import psutil  # type: ignore[import-untyped]

from edgewise.graphs.machine import kernel_id
from edgewise.wire.manifest import TENSOR_FOLDER

GRAPH_FILE: Final = "model.onnx"
WEIGHTS_FILE: Final = "weights.bin"
NOTE_FILE: Final = "note.json"
FORMAT: Final = 1
KEPT: Final = 2
"""Copies kept: the model that serves, and the one before it."""
LEAST_BYTES: Final = 16_000_000
"""Smaller graphs are packed at every load: it takes milliseconds, and a copy would cost more than it saves."""
DISK_ROOM: Final = 3
"""A copy holds the weights and their reordered form: so many times the graph's bytes must be free on the disk."""
MEMORY_ROOM: Final = 3
MEMORY_ROOM_OF_TENSORS: Final = 2
"""The same in memory while packing; less where each tensor is a file that is mapped. Measured: 2.4 and 1.5 times."""
PACK_WITHIN_S: Final = 900.0
AGAIN_AFTER_S: Final = 24 * 3600.0
"""An attempt that failed or was killed is not repeated before: not at every start of a device in trouble."""
logger = logging.getLogger(__name__)


class _Note(msgspec.Struct, frozen=True):
    """Size in bytes and time of change in ns of each file, as they were when the copy was finished."""

    format: int
    key: str
    files: dict[str, tuple[int, int]]


class PrepackedStore:
    """The prepacked copies of one machine, in a folder of their own."""

    def __init__(
        self,
        folder: Path,
        kernels: str = "",
        *,
        least_bytes: int = LEAST_BYTES,
        available: Callable[[], int] = lambda: int(psutil.virtual_memory().available),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._least_bytes = least_bytes
        self._kernels = kernels or kernel_id()
        self._available = available
        self._now = now

    def find_or_make(self, graph: Path, digest: str) -> Path | None:
        """The prepacked graph of a graph file whose content `digest` names, made if need be.

        None where it is not worth it, or cannot be made (no room, a full disk, a process that was killed); the log says
        why.
        """
        key = hashlib.sha256(f"{FORMAT} {self._kernels} {digest}".encode()).hexdigest()[:32]
        home = self._folder / key
        try:
            if _bytes(graph) < self._least_bytes:
                return None
            if not _is_whole(home, key):
                self._attempt(graph, home, key)
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning("no prepacked copy of %s: %s", graph.name, error)
            return None
        with contextlib.suppress(OSError):  # a copy that is there is used, whether or not it can be marked
            self._forget_others(home)
        return home / GRAPH_FILE

    def drop(self, packed: Path) -> None:
        """Remove a copy that turned out to be unusable."""
        shutil.rmtree(packed.parent, ignore_errors=True)

    def _attempt(self, graph: Path, home: Path, key: str) -> None:
        """Make a copy, unless an attempt has just failed. The mark that it was begun outlives one that is killed."""
        begun = self._folder / f"{key}.begun"
        if begun.exists() and self._now() - begun.stat().st_mtime < AGAIN_AFTER_S:
            raise OSError("an attempt failed, or was killed, less than a day ago")
        self._folder.mkdir(parents=True, exist_ok=True)
        mapped = (graph.parent / TENSOR_FOLDER).is_dir()
        for what, free, times in (
            ("disk", shutil.disk_usage(self._folder).free, DISK_ROOM),
            ("memory", self._available(), MEMORY_ROOM_OF_TENSORS if mapped else MEMORY_ROOM),
        ):
            if free < (needed := times * _bytes(graph)):
                raise OSError(f"{needed / 1e6:.0f} MB of {what} are needed for it, {free / 1e6:.0f} are free")
        begun.touch()
        self._make(graph, home, key)
        begun.unlink(missing_ok=True)

    def _make(self, graph: Path, home: Path, key: str) -> None:
        """In a process of its own, which gives back the memory that packing takes."""
        shutil.rmtree(home, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="making-") as made:
            work = Path(made) / key
            work.mkdir()
            command = [sys.executable, "-m", "edgewise.graphs.prepack", str(graph.resolve()), str(work)]
            done = subprocess.run(  # noqa: S603  our own module
                command, capture_output=True, text=True, check=False, timeout=PACK_WITHIN_S
            )
            if done.returncode:
                raise OSError(f"packing ended with {done.returncode}: {done.stderr.strip()[-300:]}")
            (work / NOTE_FILE).write_bytes(msgspec.json.encode(_Note(FORMAT, key, _signatures(work))))
            work.rename(home)

    def _forget_others(self, used: Path) -> None:
        """Mark `used` as used, and keep only the newest copies; what a killed process left behind goes too."""
        (used / NOTE_FILE).touch()
        homes = [path for path in self._folder.iterdir() if path.is_dir()]
        homes.sort(key=_last_use, reverse=True)
        for path in homes[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)


def _bytes(graph: Path) -> int:
    """Size of a graph with the data file or the tensors beside it, 0 where there is none."""
    beside = (path for named in (f"{graph.name}*", f"{TENSOR_FOLDER}/*") for path in graph.parent.glob(named))
    return sum(path.stat().st_size for path in beside)


def _last_use(home: Path) -> int:
    """When a copy was last used, in ns; 0 for what has no note."""
    note = home / NOTE_FILE
    return note.stat().st_mtime_ns if note.exists() else 0


def _is_whole(home: Path, key: str) -> bool:
    """Whether the files are those that the note tells of; anything else is made again."""
    try:
        note = msgspec.json.decode((home / NOTE_FILE).read_bytes(), type=_Note)
        return (note.format, note.key, note.files) == (FORMAT, key, _signatures(home))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _signatures(home: Path) -> dict[str, tuple[int, int]]:
    stats = {name: (home / name).stat() for name in (GRAPH_FILE, WEIGHTS_FILE)}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}
