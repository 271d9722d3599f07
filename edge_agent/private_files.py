"""Files of a device that are nobody else's business: a folder that only this user can look into, and reading in it with
care. What is in them is their owners' business."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def is_private(directory: Path) -> bool:
    """Whether nobody but this user can look into a directory. Raises OSError."""
    about = directory.lstat()
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077


def make_private(directory: Path) -> None:
    """Make a directory that only this user can look into, or close one that is there. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(directory) and not directory.is_symlink():
        directory.chmod(0o700)
    if not is_private(directory):
        raise PermissionError(f"{directory} is not only this user's")


@contextlib.contextmanager
def opened_plain(path: Path, max_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """A file and its size. Raises OSError, also for a link, which may lead anywhere, for a pipe, which may never end,
    and for more than `max_bytes`."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or about.st_size > max_bytes:
        os.close(handle)
        raise OSError("it is no plain file of a permitted size")
    with os.fdopen(handle, "rb") as file:
        yield file, about.st_size


def unlink_quietly(path: Path) -> None:
    """Remove a file; one that is gone, or cannot go, is no error."""
    with contextlib.suppress(OSError):
        path.unlink()


def sync_directory(directory: Path) -> None:
    """Make what was renamed in a directory outlive a power cut. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
