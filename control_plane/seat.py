"""A gateway's seat in its data directory: several gateways may share one, and none writes into another's files.

Seat 0 keeps `keys.json` current; the number also names what a gateway spills. Locks end with their process.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from edgewise.settings import make_data_dir
from edgewise.wire.errors import DataDirError

SEATS_MAX = 64
FIRST_START_LOCK = "first-start.lock"


@contextmanager
def seated(data_dir: Path) -> Iterator[int]:
    """The lowest seat that is free, from 0, held while the block runs. Raises DataDirError."""
    make_data_dir(data_dir)
    for number in range(SEATS_MAX):
        with _opened(data_dir / f"gateway-{number}.lock") as file:
            if _taken(file):
                yield number
                return
    raise DataDirError(
        f"{SEATS_MAX} gateways use this data directory already",
        where=str(data_dir),
        remedy="give this one another --data-dir",
    )


def is_taken(data_dir: Path) -> bool:
    """Whether a gateway runs in this data directory. Raises DataDirError."""
    for path in data_dir.glob("gateway-*.lock"):
        with _opened(path) as file:
            if not _taken(file):
                return True
    return False


@asynccontextmanager
async def first_start(data_dir: Path) -> AsyncIterator[None]:
    """One gateway at a time looks for the first keys of a data directory. Raises DataDirError."""
    make_data_dir(data_dir)
    with _opened(data_dir / FIRST_START_LOCK) as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("a+")
    except OSError as error:
        raise DataDirError(
            f"The data directory's lock cannot be used: {error.strerror}",
            where=str(path),
            expected="a file that this user may write",
            remedy="choose another --data-dir, or correct its owner and mode",
        ) from error
