"""What is checked before any child starts: the ports, the data directory, its lock. Each fault names its remedy."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from edgewise.wire.errors import DataDirError, PortInUseError

LOCK_FILE = "edgewise.lock"
PROBE_FILE = ".write-probe"
FREE_MIN_BYTES = 64 * 1024 * 1024
"""Room that a stack needs to start: the token log, SQLite and the logs."""


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Raises PortInUseError when nothing could listen there."""
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a port number"
            raise PortInUseError(
                f"Port {port} on {host} cannot be used: {reason}",
                where=f"{host}:{port}",
                expected="a port that nothing listens on",
                remedy=f"stop what listens there, or choose another one with {option}",
            ) from error


def prepare_data_dir(data_dir: Path, *, free_min_bytes: int = FREE_MIN_BYTES) -> None:
    """Make the directory for its owner only, and see that it can be written. Raises DataDirError."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / "logs").mkdir(mode=0o700, exist_ok=True)
        _write_probe(data_dir / PROBE_FILE)
        space = os.statvfs(data_dir)
    except OSError as error:
        raise _unusable(data_dir, error) from error
    free = space.f_bavail * space.f_frsize
    if free < free_min_bytes:
        raise DataDirError(
            f"The disk of the data directory is full: {free // 1024**2} MiB are free",
            where=str(data_dir),
            expected=f"at least {free_min_bytes // 1024**2} MiB",
            remedy="free some space, or choose a --data-dir on another disk",
        )


def _write_probe(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"\0" * 4096)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def _unusable(data_dir: Path, error: OSError) -> DataDirError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return DataDirError(
        "The disk of the data directory is full" if full else f"The data directory cannot be used: {error.strerror}",
        where=str(data_dir),
        expected="a directory that this user may write to, with free space",
        remedy="free some space" if full else "choose another --data-dir, or correct its owner and mode",
    )


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for one stack; the lock ends with this process. Raises DataDirError when it is held."""
    path = data_dir / LOCK_FILE
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise DataDirError(
                f"Another stack uses this data directory ({holder})",
                where=str(path),
                expected="one stack for each data directory",
                remedy="stop the other stack, or choose another --data-dir",
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("a+")
    except OSError as error:
        raise DataDirError(
            f"The data directory's lock cannot be used: {error.strerror}",
            where=str(path),
            expected="a file that this user may write",
            remedy="correct its owner, or choose another --data-dir",
        ) from error
