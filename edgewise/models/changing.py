"""A change of the store: the lock, leftovers swept before and after, and the disk's refusals told as what they are."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edgewise.models.disk import Disk
from edgewise.models.errors import StoreBusyError, StoreFullError
from edgewise.models.layout import LOCK, Layout
from edgewise.wire.errors import DataDirError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def changing(layout: Layout, disk: Disk) -> Iterator[None]:
    """Hold the lock of the store while the block changes it; the folders are there then, and nothing is in staging.

    Raises StoreBusyError, StoreFullError, DataDirError (a disk that cannot be written).
    """
    try:
        layout.folder.mkdir(parents=True, exist_ok=True)
        with _locked(layout):
            _make_folders(layout, disk)
            _sweep(layout, disk)
            try:
                yield
            except Exception:
                with contextlib.suppress(OSError):  # what does not go now, goes with the next change
                    _sweep(layout, disk)
                raise
    except OSError as error:
        raise _told(error, layout) from error


def remove_tree(path: Path, disk: Disk) -> None:
    """Remove a file, a link, or a folder with everything in it. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        for inner in sorted(path.iterdir()):
            remove_tree(inner, disk)
        disk.remove_folder(path)
    else:
        disk.unlink(path)


def _make_folders(layout: Layout, disk: Disk) -> None:
    missing = [path for path in (layout.objects, layout.versions, layout.staging) if not path.is_dir()]
    for folder in missing:
        disk.make_folder(folder)
    if missing:
        disk.flush_folder(layout.folder)
        disk.flush_folder(layout.folder.parent)


def _sweep(layout: Layout, disk: Disk) -> None:
    for path in sorted(layout.staging.iterdir()):
        remove_tree(path, disk)


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """The kernel gives the lock back when its holder dies."""
    handle = os.open(layout.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreBusyError(
                "Another process is changing the models of this device",
                where=str(layout.folder),
                expected="one change at a time",
                remedy="try again when it has ended",
                retry_after_s=5.0,
            ) from error
        yield
    finally:
        os.close(handle)


def _told(error: OSError, layout: Layout) -> StoreFullError | DataDirError:
    where = str(error.filename or layout.folder)
    if error.errno in _FULL:
        return StoreFullError(
            f"The disk is full: {error.strerror}",
            where=where,
            expected="room for what is new in this version",
            remedy="remove a version (edgewise agent models remove ID), or make room on the disk",
        )
    return DataDirError(
        f"The models of this device cannot be changed: {error.strerror}",
        where=where,
        expected="a folder that can be written, on a file system with symbolic links",
        remedy="mend its permissions, or choose another data directory with --data-dir",
    )
