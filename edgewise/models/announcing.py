"""How the agent of a data directory is told that another version is in use: SIGHUP to whoever holds its lock.

It is a record lock (fcntl), of which the kernel itself says who holds it, and which ends with that process. The file is
empty and the user's own: no number in it can be wrong, and nobody else can hold it. One process opens it once, as
closing any handle of the file gives such a lock back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from edgewise.settings import make_data_dir

LOCK_FILE: Final = "agent.lock"
_FLOCK: Final = struct.Struct("@qqihh" if sys.platform == "darwin" else "@hhqqi4x")
"""C's `struct flock`: type, whence, start, length, process; elsewhere start, length, process, type, whence."""


class Told(msgspec.Struct, frozen=True):
    """The process that runs, None where none does, and whether it was told: another user's cannot be. `hidden`: whether
    one runs is another user's to know."""

    pid: int | None
    heard: bool
    hidden: bool = False


@contextmanager
def announced(data_dir: Path) -> Iterator[None]:
    """This process takes SIGHUP while the block runs. Where another one of the same directory does, that one is told.

    Raises DataDirError.
    """
    make_data_dir(data_dir)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a disk that is full or read-only: nobody is told, all else goes on
            stack.enter_context(_holding(data_dir / LOCK_FILE))
        yield


def tell(data_dir: Path) -> Told:
    """Send SIGHUP to the agent of a data directory, where one runs. Not for the process that announced itself."""
    try:
        pid = _holder(data_dir / LOCK_FILE)
    except PermissionError:
        return Told(None, False, hidden=True)
    if pid is None:
        return Told(None, False)
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        return Told(None, False)
    except PermissionError:
        return Told(pid, False)
    return Told(pid, True)


@contextmanager
def _holding(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(handle, 0o600)
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _holder(path: Path) -> int | None:
    """The process that holds the file for itself alone, None where nobody does. Raises PermissionError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise
    except OSError:
        return None
    try:
        return _write_locked_by(handle)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(handle)


def _write_locked_by(handle: int) -> int | None:
    """Who is in the way of reading all of it. A lock of another machine or namespace has no process here."""
    asked = (0, 0, 0, fcntl.F_RDLCK, os.SEEK_SET) if sys.platform == "darwin" else (fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    told = _FLOCK.unpack(fcntl.fcntl(handle, fcntl.F_GETLK, _FLOCK.pack(*asked)))
    kind, pid = (told[3], told[2]) if sys.platform == "darwin" else (told[0], told[4])
    return pid if kind == fcntl.F_WRLCK and pid > 1 else None
