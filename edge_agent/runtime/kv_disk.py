"""Contexts on disk, so that a chat's next turn finds its beginning after a restart: one file each, in a private folder.

    idle ──► save, a piece at a time, into a file beside ──► fsync ──► rename ──► what it covers is removed
    start ─► headers read, the rest dropped;  prompt ──► longest chain ──► its file, block by checked block ──► row

What a file holds is kv_file.py's business. Everything here belongs to the engine's thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from edge_agent.private_files import is_private, make_private, opened_plain, sync_directory, unlink_quietly
from edge_agent.runtime.kv_file import BlockWriter, Header, KvFileError, Origin, read_header, read_rows
from edge_agent.runtime.prefixes import BLOCK_TOKENS, Chain, Prompt
from edgewise.graphs import KvRows

FOLDER: Final = "prefixes"
SUFFIX: Final = ".kv"
PRIVATE_MB: Final = 256
"""MiB to save where the data directory is private and nobody said how much."""
EXPIRE_S: Final = 24 * 3600.0
PIECE_BYTES: Final = 4 << 20
"""How much is written between two looks at whether somebody asks; each piece is synced, so none waits for all."""
AGAIN_AFTER_S: Final = 600.0
"""After a failure to write, so long nothing is tried."""
_CLOCK_SLACK_S: Final = 60.0
_NAME_CHARS: Final = 40
_UNFINISHED: Final = ".saving-"
logger = logging.getLogger(__name__)

Read = Callable[[int, int], KvRows | None]
"""Copies the rows of tokens start..stop; None once they are no longer what they were."""


@dataclass(frozen=True)
class DiskOptions:
    """Where contexts are saved, within how many bytes, and for how long after they were."""

    directory: Path
    max_bytes: int
    expire_s: float = EXPIRE_S


@dataclass(frozen=True)
class Saved:
    """A file of this folder: `chain` is what it holds, `saved_at` Unix time."""

    chain: Chain
    path: Path
    size_bytes: int
    saved_at: float


class KvDisk:
    """The saved contexts in a folder: at most `max_bytes` (and the file that is being written), none older than
    `expire_s`. Whatever was saved by another model, is damaged or does not belong here is removed when it is met.

    now: Unix time. Raises OSError from the constructor when there can be no folder that is only this user's.
    """

    def __init__(self, options: DiskOptions, origin: Origin, now: Callable[[], float] = time.time) -> None:
        self._directory, self._origin = options.directory, origin
        self._max_bytes, self._expire_s, self._now = options.max_bytes, options.expire_s, now
        self._saving: Generator[None, None, None] | None = None
        self._tried: set[bytes] = set()
        self._quiet_until = 0.0
        make_private(options.directory)
        self._entries = self._found()  # the most recently used last
        self._forget_covered()
        self._fit()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes of all saved contexts."""
        return sum(entry.size_bytes for entry in self._entries)

    def best(self, prompt: Prompt) -> tuple[int, Saved | None]:
        """The saved context that shares the most first tokens with a prompt, and how many; nothing is read."""
        self._expire()
        found = max(reversed(self._entries), key=lambda entry: prompt.shared(entry.chain), default=None)
        shared = prompt.shared(found.chain) if found else 0
        return (shared, found) if shared else (0, None)

    def read(self, saved: Saved, tokens: int) -> Iterator[KvRows]:
        """The rows of the first `tokens` of a saved context, checked, a block at a time.

        Raises KvFileError when a file cannot be read on; then it is gone, and what came before it is not to be used.
        """
        try:
            with opened_plain(saved.path, self._max_bytes) as (file, size_bytes):
                header = read_header(file, size_bytes, self._origin)
                if header.chain.names != saved.chain.names:
                    raise KvFileError("it was exchanged")
                yield from read_rows(file, header, tokens)
        except (KvFileError, OSError) as error:
            self._drop(saved, str(error))
            raise KvFileError(str(error)) from error
        self._entries.remove(saved)
        self._entries.append(saved)

    def idle_work(self, candidates: Iterable[tuple[Chain, Read]]) -> float | None:
        """Write a piece of the first candidate that is not saved. Seconds after which to ask again; None for never,
        unless something changes."""
        self._expire()
        if self._saving is None and self._now() >= self._quiet_until:
            self._saving = self._next(list(candidates))
        if self._saving is None:
            dues = [entry.saved_at + self._expire_s for entry in self._entries]
            dues += [self._quiet_until] if self._quiet_until > self._now() else []
            return max(min(dues) - self._now(), 1.0) if dues else None
        if next(self._saving, self) is self:
            self._saving = None
        return 0.0

    def stop_saving(self) -> None:
        """Let go of the rows that are being saved; they may be saved another time."""
        if self._saving is not None:
            self._saving.close()
            self._saving = None

    def check_integrity(self) -> None:
        """Files are there with their sizes, within the budget. Raises AssertionError."""
        assert self.size_bytes <= self._max_bytes, "over the budget"
        for entry in self._entries:
            assert entry.path.stat().st_size == entry.size_bytes, f"{entry.path.name} has another size"

    def _next(self, candidates: list[tuple[Chain, Read]]) -> Generator[None, None, None] | None:
        """The writing of the first candidate that is not saved, was not tried before and fits in the budget."""
        self._tried &= {chain.names[-1] for chain, _ in candidates if chain.names}
        for chain, read in candidates:
            whole = Chain(chain.names)
            if not whole.names or whole.names[-1] in self._tried:
                continue
            header = Header.of(self._origin, whole, self._now())
            if header.file_bytes <= self._max_bytes and not any(e.chain.covers(whole) for e in self._entries):
                return self._save(header, read)
            self._tried.add(whole.names[-1])
        return None

    def _save(self, header: Header, read: Read) -> Generator[None, None, None]:
        """Write a context piece by piece; nothing is in place before the last, and nothing stays of a failure.

        It was tried when it is in place, or can never be written: a disk that is full now may have room later.
        """
        fresh: Path | None = None
        try:
            handle, name = tempfile.mkstemp(dir=self._directory, prefix=_UNFINISHED)
            fresh = Path(name)
            with os.fdopen(handle, "wb") as file:
                complete = yield from _written(file, header, read)
            if complete:
                self._put(header, fresh)
                self._tried.add(header.chain.names[-1])
        except (OSError, KvFileError) as error:
            if isinstance(error, KvFileError):
                self._tried.add(header.chain.names[-1])
            self._quiet_until = self._now() + AGAIN_AFTER_S
            logger.warning("a context was not saved, those that were stay: %s", error)
        finally:
            if fresh is not None:
                unlink_quietly(fresh)

    def _put(self, header: Header, fresh: Path) -> None:
        """Put a written file in place, and remove what it covers or leaves no room for."""
        entry = Saved(header.chain, self._directory / _file_name(header.chain), header.file_bytes, header.saved_at)
        fresh.replace(entry.path)
        sync_directory(self._directory)
        self._entries.append(entry)
        self._forget_covered()
        self._fit()

    def _found(self) -> list[Saved]:
        """What the folder holds for this model; what cannot be used is removed, with one log line for each reason."""
        entries, reasons = [], Counter[str]()
        for path in sorted(self._directory.iterdir()):
            if path.name.startswith(_UNFINISHED):
                unlink_quietly(path)
            if path.suffix != SUFFIX:
                continue
            try:
                with opened_plain(path, self._max_bytes) as (file, size_bytes):
                    header = read_header(file, size_bytes, self._origin)
                if path.name != _file_name(header.chain):
                    raise KvFileError("it has the name of another one")
                if self._is_over(header.saved_at):
                    raise KvFileError("its time is over")
                entries.append(Saved(header.chain, path, size_bytes, header.saved_at))
            except (KvFileError, OSError) as error:
                reasons[str(error)] += 1
                unlink_quietly(path)
        for reason, count in reasons.items():
            logger.warning("%d saved contexts were dropped: %s", count, reason)
        return sorted(entries, key=lambda entry: entry.saved_at)

    def _forget_covered(self) -> None:
        """A kill between two steps of saving may leave a context beside a longer one."""
        for entry in list(self._entries):
            if any(other is not entry and other.chain.covers(entry.chain) for other in self._entries):
                self._remove(entry)

    def _fit(self) -> None:
        while self.size_bytes > self._max_bytes:
            self._remove(self._entries[0])

    def _expire(self) -> None:
        for entry in [entry for entry in self._entries if self._is_over(entry.saved_at)]:
            self._remove(entry)

    def _is_over(self, saved_at: float) -> bool:
        """A time in the future, or none at all, comes of a clock that was wrong: nobody knows how old that is."""
        return not -_CLOCK_SLACK_S <= self._now() - saved_at < self._expire_s

    def _drop(self, entry: Saved, why: str) -> None:
        logger.warning("a saved context was dropped: %s", why)
        self._remove(entry)

    def _remove(self, entry: Saved) -> None:
        self._entries.remove(entry)
        unlink_quietly(entry.path)


def _written(file: BinaryIO, header: Header, read: Read) -> Generator[None, None, bool]:
    """Write header and blocks, synced at every piece; False when the rows went away meanwhile."""
    file.write(header.encoded())
    writer = BlockWriter(header)
    step = max(PIECE_BYTES // header.origin.block_bytes, 1) * BLOCK_TOKENS
    end = header.blocks * BLOCK_TOKENS
    for start in range(0, end, step):
        rows = read(start, min(start + step, end))
        if rows is None:
            return False
        file.write(writer.encoded(rows))
        file.flush()
        os.fsync(file.fileno())
        yield
    return True


def _file_name(chain: Chain) -> str:
    return f"{chain.names[-1].hex()[:_NAME_CHARS]}{SUFFIX}"


def open_disk(options: DiskOptions | None, origin: Origin) -> KvDisk | None:
    """The saved contexts; None without options, or (with a log line) where they cannot be kept."""
    try:
        return KvDisk(options, origin) if options else None
    except OSError as error:
        logger.warning("no contexts are saved: %s", error)
        return None


def disk_options(data_dir: Path, mib: int | None, expire_s: float) -> DiskOptions | None:
    """Save in `data_dir`, or not at all; then what an earlier process saved is removed.

    What is saved tells of prompts, so without a wish (`mib` None) it needs a directory that only this user can read.
    `data_dir` may be a link (a service manager makes such): where it leads is what counts. Raises OSError.
    """
    data_dir = data_dir.resolve()
    why = "" if mib is not None or is_private(data_dir) else f"others can look into {data_dir} (close it: chmod 700)"
    mib = (0 if why else PRIVATE_MB) if mib is None else mib
    if mib:
        return DiskOptions(data_dir / FOLDER, mib << 20, expire_s)
    logger.info("no contexts are saved: %s", why or "it was switched off")
    forget_saved(data_dir / FOLDER)
    return None


def forget_saved(directory: Path) -> None:
    """Remove what an earlier process saved in a folder, for a device that saves no longer. A link is not followed."""
    if directory.is_symlink():
        return
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if path.suffix == SUFFIX or path.name.startswith(_UNFINISHED):
                unlink_quietly(path)
