"""Workspace: the folder of one job, the same for every attempt. What is on disk here survives any death."""

# <data>/jobs/<job id>/claim.json     the claim in hand; gone when it is over
#                      outcome.json   how the body ended
#                      stages/*.json  results of finished stages
#                      log.txt        what the body and its libraries printed
#                      lock           held by the one process that works in this folder

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from cloud_worker.forge.jobs.claim import GONE, Claim, Outcome
from edgewise.ids import is_id
from edgewise.wire.errors import ConfigError, DataDirError

JOBS = "jobs"
CLAIM_FILE = "claim.json"
OUTCOME_FILE = "outcome.json"
LOG_FILE = "log.txt"
LOCK_FILE = "lock"

T = TypeVar("T")


class Workspace:
    """The files of one job. Raises OSError where the disk does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hold(self, claim: Claim) -> Outcome | None:
        """Note a claim before anything is done under it; the result that an earlier attempt left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found = self.outcome()
        if found is not None and not found.is_done:
            (self.folder / OUTCOME_FILE).unlink()
            found = None
        write_whole(self.folder / CLAIM_FILE, msgspec.json.encode(claim))
        return found

    def release(self) -> None:
        """The claim is over. The rest stays: another attempt goes on from it."""
        (self.folder / CLAIM_FILE).unlink(missing_ok=True)

    def claim(self) -> Claim | None:
        """The claim in hand."""
        return read_whole(self.folder / CLAIM_FILE, Claim)

    def outcome(self) -> Outcome | None:
        """How the body ended; None while it has not."""
        return read_whole(self.folder / OUTCOME_FILE, Outcome)

    def keep(self, outcome: Outcome) -> None:
        """Note how the body ended."""
        write_whole(self.folder / OUTCOME_FILE, msgspec.json.encode(outcome))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until the body of an earlier attempt is gone, then be the only one here."""
        with (self.folder / LOCK_FILE).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Workspaces:
    """All jobs' folders below the data directory of one forge process."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / JOBS
        self._data_dir = data_dir

    def of(self, job_id: str) -> Workspace:
        """The folder of a job. Raises ConfigError for an id that is none: it becomes a path."""
        if not is_id(job_id):
            raise ConfigError(f"The control plane gave a job the id {job_id[:40]!r}", expected="26 letters and digits")
        return Workspace(self._folder / job_id)

    def unreported(self) -> list[tuple[Claim, Outcome]]:
        """Claims that an earlier process had in hand, with how they ended; without an outcome, that it is gone."""
        spaces = [Workspace(path.parent) for path in sorted(self._folder.glob(f"*/{CLAIM_FILE}"))]
        claims = [(space, space.claim()) for space in spaces]
        return [(claim, space.outcome() or GONE) for space, claim in claims if claim is not None]

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Be the only forge process on this data directory. Raises DataDirError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._data_dir / "forge.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataDirError(
                    "Another forge process works in this data directory",
                    where=str(self._data_dir),
                    expected="one process for each data directory",
                    remedy="stop that one, or give another --data-dir",
                ) from error
            yield


def write_whole(path: Path, raw: bytes) -> None:
    """Write beside and rename: a reader sees all of it or none, also after a crash of the machine."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_whole(path: Path, shape: type[T]) -> T | None:
    """A file of write_whole; None when there is none, or when it is damaged: the work is then done again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
