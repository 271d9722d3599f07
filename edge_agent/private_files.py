"""Files of a device that are nobody else's business: a folder that only this user can look into, and reading in it with
care. What is in them is their owners' business."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgewise.wire.errors import DataDirError


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


def kept_secret(path: Path, length: int) -> bytes:
    """The secret that a device keeps in a file, made at the first start; a damaged one is made anew.

    Raises DataDirError where it can be neither read nor kept.
    """
    try:
        with opened_plain(path, length) as (file, _):
            if len(kept := file.read(length)) == length:
                return kept
    except OSError:
        pass  # whatever is wrong with it, a new one tells
    made, beside = secrets.token_bytes(length), path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb", opener=_for_this_user) as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        unlink_quietly(beside)
        raise DataDirError(
            f"A secret of this device cannot be kept: {error.strerror}",
            where=str(path),
            expected="a data directory that this user may write to, with room on its disk",
            remedy="choose another one with --data-dir, or mend its permissions",
        ) from error
    return made


def _for_this_user(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o600)


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
