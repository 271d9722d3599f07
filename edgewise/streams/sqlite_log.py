"""The StreamLog of a node that answers by itself: one SQLite file, one process, wake-ups in memory. No networking.

Appends commit in WAL mode with synchronous NORMAL: a killed node loses nothing, since the kernel holds the pages. Only
a power cut can take the newest appends, and it takes generator, node and the apps that read along with them. Claims
and ends are flushed to the medium (synchronous FULL), so a finished answer and an epoch outlive a power cut too."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from edgewise.streams.log import Appended, Claim, Head, Record, StreamStatus
from edgewise.streams.refusals import ahead, diverged, ended, exists, leased, not_found, stale, still_open, trimmed
from edgewise.wire.errors import EdgewiseError, LogGapError, LogUnavailableError

TTL_S = 600.0
TOMBSTONE_S = 24 * 3600.0
UNCLAIMED_GRACE_S = 5.0
FORGET_EVERY_S = 60.0
_FORGET_AT_ONCE = 10

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
  sid TEXT PRIMARY KEY, owner TEXT NOT NULL, request BLOB, status TEXT NOT NULL DEFAULT 'open',
  epoch INTEGER NOT NULL DEFAULT 0, next_seq INTEGER NOT NULL DEFAULT 0, first_seq INTEGER NOT NULL DEFAULT 0,
  holder TEXT NOT NULL DEFAULT '', lease_s REAL NOT NULL DEFAULT 0, lease_until REAL NOT NULL DEFAULT 0,
  claimable_at REAL NOT NULL, ended_at REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS streams_ended ON streams (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS streams_open ON streams (lease_until) WHERE status = 'open';
CREATE TABLE IF NOT EXISTS entries (
  sid TEXT NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (sid, seq)
) WITHOUT ROWID;
"""
_COLUMNS = "status, epoch, next_seq, first_seq, owner, holder, lease_s, lease_until"

_T = TypeVar("_T")


class _Row(NamedTuple):
    status: StreamStatus
    epoch: int
    next_seq: int
    first_seq: int
    owner: str
    holder: str
    lease_s: float
    lease_until: float


class SqliteStreamLog:
    """StreamLog in the file `path`, created when absent; None keeps it in memory, and it ends with the process. `clock`
    gives wall-clock seconds: leases outlive the process.

    Ended streams keep their entries for `ttl_s` and their id for `tombstone_s`; `create` and `expired`, which somebody
    must call now and then, forget what is older. Raises LogUnavailableError when the file cannot be used.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], float] = time.time,
        *,
        ttl_s: float = TTL_S,
        tombstone_s: float = TOMBSTONE_S,
    ) -> None:
        self._path = path
        self._clock = clock
        self._ttl_s = ttl_s
        self._tombstone_s = max(tombstone_s, ttl_s)
        self._turn = asyncio.Lock()
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="stream-log")
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._forgot_at: float | None = None
        try:
            self._db = _open(path)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    async def aclose(self) -> None:
        """Finish what is under way and close the file."""
        async with self._turn:
            self._flusher.shutdown()
            self._db.close()

    async def create(self, sid: str, *, owner: str, request: bytes) -> None:
        def work() -> None:
            self._forget_old()
            values = (sid, owner, request, self._clock() + UNCLAIMED_GRACE_S)
            try:
                self._db.execute("INSERT INTO streams (sid, owner, request, claimable_at) VALUES (?, ?, ?, ?)", values)
            except sqlite3.IntegrityError as error:
                raise exists(sid) from error

        await self._change(work)

    async def open(self, sid: str, *, owner: str, request: bytes, holder: str, lease_s: float) -> Claim:
        await self.create(sid, owner=owner, request=request)
        return await self.claim(sid, holder=holder, lease_s=lease_s, seen_epoch=0)

    async def claim(self, sid: str, *, holder: str, lease_s: float, seen_epoch: int) -> Claim:
        def work() -> Claim:
            row = self._open_row(sid)
            if row.epoch != seen_epoch:
                raise stale(sid, row.epoch)
            if row.lease_until > self._clock() and row.holder != holder:
                raise leased(sid, row.holder)
            self._db.execute(
                "UPDATE streams SET epoch = epoch + 1, holder = ?, lease_s = ?, lease_until = ? WHERE sid = ?",
                (holder, lease_s, self._clock() + lease_s, sid),
            )
            return Claim(row.epoch + 1, row.next_seq)

        return await self._change_durably(work)

    async def append(self, sid: str, *, epoch: int, seq: int, payloads: Sequence[bytes], end: bool = False) -> Appended:
        def work() -> Appended:
            row = self._row(sid)
            if row.epoch != epoch:
                raise stale(sid, row.epoch)
            known = payloads[: max(row.next_seq - seq, 0)]
            self._check_same(sid, seq, known)
            if len(known) == len(payloads):
                return Appended(row.next_seq, duplicate=True)
            self._check_next(sid, row, seq)
            fresh = payloads[len(known) :]
            self._insert(sid, row.next_seq, epoch, fresh)
            self._advance(sid, row, "done" if end else "open", len(fresh))
            return Appended(row.next_seq + len(fresh))

        appended = await (self._change_durably(work) if end else self._change(work))
        self._wake(sid)
        return appended

    async def renew(self, sid: str, *, epoch: int) -> None:
        def work() -> None:
            row = self._open_row(sid)
            if row.epoch != epoch:
                raise stale(sid, row.epoch)
            lease_until = self._clock() + row.lease_s
            self._db.execute("UPDATE streams SET lease_until = ? WHERE sid = ?", (lease_until, sid))

        await self._change(work)

    async def release(self, sid: str, *, epoch: int) -> None:
        def work() -> None:
            row = self._row(sid)
            if row.status == "open" and row.epoch == epoch:
                self._db.execute("UPDATE streams SET lease_until = 0 WHERE sid = ?", (sid,))

        await self._change(work)

    async def cancel(self, sid: str, *, payload: bytes) -> int:
        def work() -> int:
            row = self._row(sid)
            if row.status != "open":
                return row.next_seq - 1
            self._insert(sid, row.next_seq, row.epoch + 1, [payload])
            self._advance(sid, row, "cancelled")
            self._db.execute("UPDATE streams SET epoch = epoch + 1, holder = '' WHERE sid = ?", (sid,))
            return row.next_seq

        seq = await self._change_durably(work)
        self._wake(sid)
        return seq

    async def head(self, sid: str) -> Head:
        row = await self._ask(lambda: self._row(sid))
        left_s = row.lease_until - self._clock() if row.lease_until else 0.0
        return Head(row.status, row.epoch, row.next_seq, row.first_seq, row.owner, row.holder, left_s)

    async def request(self, sid: str) -> bytes:
        def work() -> bytes:
            found = self._db.execute("SELECT request FROM streams WHERE sid = ?", (sid,)).fetchone()
            if found is None or found[0] is None:
                raise not_found(sid)
            return bytes(found[0])

        return await self._ask(work)

    async def read(self, sid: str, *, after: int, limit: int = 1000) -> list[Record]:
        def work() -> list[Record]:
            row = self._row(sid)
            if after >= row.next_seq:
                raise ahead(sid, after, row.next_seq)
            if after + 1 < row.first_seq:
                raise trimmed(sid, row.first_seq)
            rows = self._db.execute(
                "SELECT seq, epoch, payload FROM entries WHERE sid = ? AND seq > ? ORDER BY seq LIMIT ?",
                (sid, after, limit),
            )
            return [Record(*row) for row in rows]

        return await self._ask(work)

    async def watch(self, sid: str) -> AsyncIterator[None]:
        event = asyncio.Event()
        self._watchers.setdefault(sid, set()).add(event)
        try:
            yield
            while True:
                await event.wait()
                event.clear()
                yield
        finally:
            self._watchers[sid].discard(event)
            if not self._watchers[sid]:
                del self._watchers[sid]

    async def expired(self, limit: int = 100) -> list[str]:
        if self._is_forgetting_due():
            await self._change(self._forget_old)

        def work() -> list[str]:
            rows = self._db.execute(
                "SELECT sid FROM streams WHERE status = 'open' AND lease_until <= ?1 AND (epoch > 0 OR"
                " claimable_at <= ?1) ORDER BY lease_until LIMIT ?2",
                (self._clock(), limit),
            )
            return [sid for (sid,) in rows]

        return await self._ask(work)

    async def trim(self, sid: str) -> None:
        def work() -> None:
            if self._row(sid).status == "open":
                raise still_open(sid)
            self._forget(sid)

        await self._change(work)

    def _row(self, sid: str) -> _Row:
        found = self._db.execute(f"SELECT {_COLUMNS} FROM streams WHERE sid = ?", (sid,)).fetchone()  # noqa: S608
        if found is None:
            raise not_found(sid)
        return _Row(*found)

    def _open_row(self, sid: str) -> _Row:
        row = self._row(sid)
        if row.status != "open":
            raise ended(sid, row.status)
        return row

    def _check_next(self, sid: str, row: _Row, seq: int) -> None:
        if row.status != "open":
            raise ended(sid, row.status)
        if seq > row.next_seq:
            raise LogGapError(row.next_seq)

    def _check_same(self, sid: str, seq: int, payloads: Sequence[bytes]) -> None:
        for place, payload in enumerate(payloads, seq):
            stored = self._db.execute("SELECT payload FROM entries WHERE sid = ? AND seq = ?", (sid, place)).fetchone()
            if stored is None or stored[0] != payload:
                raise diverged(sid, place)

    def _insert(self, sid: str, seq: int, epoch: int, payloads: Sequence[bytes]) -> None:
        rows = [(sid, place, epoch, payload) for place, payload in enumerate(payloads, seq)]
        self._db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)

    def _advance(self, sid: str, row: _Row, status: StreamStatus, entries: int = 1) -> None:
        now = self._clock()
        lease_until, ended_at = (now + row.lease_s, None) if status == "open" else (0.0, now)
        self._db.execute(
            "UPDATE streams SET next_seq = ?, status = ?, lease_until = ?, ended_at = ? WHERE sid = ?",
            (row.next_seq + entries, status, lease_until, ended_at, sid),
        )

    def _forget(self, sid: str) -> None:
        self._db.execute("DELETE FROM entries WHERE sid = ?", (sid,))
        self._db.execute("UPDATE streams SET request = NULL, first_seq = next_seq WHERE sid = ?", (sid,))

    def _is_forgetting_due(self) -> bool:
        """Once a minute, also when the wall clock was set back."""
        return self._forgot_at is None or not 0 <= self._clock() - self._forgot_at < FORGET_EVERY_S

    def _forget_old(self) -> None:
        """Entries whose time to live is over, and ids that nobody can ask for any more; a few at a time."""
        now = self._forgot_at = self._clock()
        old = self._db.execute(
            "SELECT sid FROM streams WHERE ended_at < ? AND request IS NOT NULL LIMIT ?",
            (now - self._ttl_s, _FORGET_AT_ONCE),
        ).fetchall()
        for (sid,) in old:
            self._forget(sid)
        if len(old) == _FORGET_AT_ONCE:
            self._forgot_at = None
        self._db.execute("DELETE FROM streams WHERE ended_at < ?", (now - self._tombstone_s,))

    def _wake(self, sid: str) -> None:
        for event in self._watchers.get(sid, ()):
            event.set()

    async def _ask(self, work: Callable[[], _T]) -> _T:
        """Read inline: some ten microseconds, less than a thread would cost."""
        async with self._turn:
            try:
                return work()
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    async def _change(self, work: Callable[[], _T]) -> _T:
        """One transaction inline, without waiting for the medium."""
        async with self._turn:
            return self._transact(work)

    async def _change_durably(self, work: Callable[[], _T]) -> _T:
        """One transaction on the medium, in the flusher's thread. A caller that is cancelled leaves it to finish."""
        return await asyncio.shield(asyncio.ensure_future(self._flushed(work)))

    async def _flushed(self, work: Callable[[], _T]) -> _T:
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._flusher, self._transact, work, "FULL")

    def _transact(self, work: Callable[[], _T], synchronous: str = "NORMAL") -> _T:
        try:
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                return work()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> EdgewiseError:
        return LogUnavailableError(
            f"The stream log cannot be used: {error}",
            where=str(self._path or "memory"),
            expected="a SQLite file on a disk with free space",
            remedy="free disk space; if the file is damaged, move it away and start again",
        )


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, timeout=5.0)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA secure_delete = ON")  # what was forgotten is prompts: no free page keeps them
    db.executescript(_SCHEMA)
    return db
