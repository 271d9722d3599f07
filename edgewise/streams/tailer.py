"""Following streams: per process and stream one Tailer, shared by all local readers.

A stream that is made in this process feeds its tailer with what the log has confirmed; any other is watched. Readers
take records from the tailer's ring; those that are behind it, however slow, read ranges of the log until they catch up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from itertools import islice

from edgewise.streams.entries import decode_entry, is_terminal
from edgewise.streams.log import Record, StreamLog
from edgewise.streams.timer import CallLater, loop_call_later
from edgewise.wire.errors import CursorAheadError, EdgewiseError, LogUnavailableError

logger = logging.getLogger(__name__)

WATCHDOG_S = 1.0
RING_RECORDS = 512
PAGE_RECORDS = 1000
_REGRESSED_WATCHDOGS = 3


class TailerHub:
    """All the tailers of one process. `watchdog_s` bounds how long a lost wake-up can delay a reader."""

    def __init__(
        self,
        log: StreamLog,
        *,
        watchdog_s: float = WATCHDOG_S,
        ring_records: int = RING_RECORDS,
        call_later: CallLater = loop_call_later,
    ) -> None:
        self._log = log
        self._watchdog_s = watchdog_s
        self._ring_records = ring_records
        self._call_later = call_later
        self._tailers: dict[str, Tailer] = {}

    @property
    def tailing(self) -> int:
        """How many streams are being watched."""
        return len(self._tailers)

    @property
    def readers(self) -> int:
        """How many readers follow a stream that is being made, here."""
        return sum(tailer.followers for tailer in self._tailers.values())

    def feed(self, sid: str, next_seq: int) -> Feed:
        """Feed the readers of a stream that is made here from `next_seq` on: they need not ask the log for it."""
        tailer = self._tailers.get(sid)
        if tailer is None or tailer.stopped:
            tailer = self._new_tailer(sid, next_seq - 1)
            self._tailers[sid] = tailer
        tailer.feeds += 1
        return Feed(self, tailer)

    async def follow(self, sid: str, after: int) -> AsyncGenerator[Record, None]:
        """Every record with seq > `after`, once and in order, up to the terminal one.

        Raises StreamNotFoundError, CursorTrimmedError, CursorAheadError, LogUnavailableError, also in mid-stream.
        Close the iterator (`aclose`) when leaving early.
        """
        tailer = self._tailers.get(sid)
        if tailer is None or not tailer.reaches(after):
            async for page in self._pages(sid, after):
                for record in page:
                    yield record
                if ends_stream(page[-1]):
                    return
                after = page[-1].seq
            if await self._ended_at(sid, after):
                return
        tailer = self._join(sid, after)
        try:
            while records := await tailer.beyond(after):
                for record in records:
                    yield record
                after = records[-1].seq
        finally:
            await self._leave(tailer)

    async def _pages(self, sid: str, after: int) -> AsyncGenerator[list[Record], None]:
        """What is in the log now."""
        page = await self._log.read(sid, after=after, limit=PAGE_RECORDS)
        while page:
            yield page
            if len(page) < PAGE_RECORDS:
                return
            page = await self._log.read(sid, after=page[-1].seq, limit=PAGE_RECORDS)

    def fail(self, sid: str, error: EdgewiseError) -> None:
        """Tell the followers of a stream here that its writer had to stop; new followers may come at once."""
        if tailer := self._tailers.pop(sid, None):
            tailer.fail(error)

    async def _ended_at(self, sid: str, after: int) -> bool:
        head = await self._log.head(sid)
        return head.status != "open" and after >= head.next_seq - 1

    def _join(self, sid: str, after: int) -> Tailer:
        tailer = self._tailers.get(sid)
        if tailer is None or tailer.stopped:
            tailer = self._new_tailer(sid, after)
            tailer.watch()
            self._tailers[sid] = tailer
        tailer.followers += 1
        return tailer

    def _new_tailer(self, sid: str, after: int) -> Tailer:
        return Tailer(self._log, sid, after, self._watchdog_s, self._ring_records, self._call_later)

    async def _leave(self, tailer: Tailer) -> None:
        tailer.followers -= 1
        if tailer.followers or tailer.feeds:
            return
        self._forget(tailer)
        await tailer.close()

    def _starve(self, tailer: Tailer) -> None:
        """A feed ended: whoever still follows watches the log from now on, where another writer may go on."""
        tailer.feeds -= 1
        if tailer.followers:
            tailer.watch()
        elif not tailer.feeds:
            self._forget(tailer)

    def _forget(self, tailer: Tailer) -> None:
        if self._tailers.get(tailer.sid) is tailer:
            del self._tailers[tailer.sid]


class Feed:
    """The way from a local writer to the readers of its stream. `close` it when the writer stops, for any reason."""

    def __init__(self, hub: TailerHub, tailer: Tailer) -> None:
        self._hub = hub
        self._tailer = tailer

    def take(self, records: list[Record]) -> None:
        """Pass on what the log has confirmed."""
        self._tailer.take(records)

    def close(self) -> None:
        """Nothing more comes from this writer."""
        self._hub._starve(self._tailer)


class Tailer:
    """Keeps the newest records of one stream in a ring; it is fed them, or watches the log for them.

    log:   0 1 2 3 4 5 6 7 8 9
    ring:            [5 6 7 8 9]  next_seq = 10
    follower at 2: range read · follower at 7: from the ring · follower at 9: waits
    """

    def __init__(
        self, log: StreamLog, sid: str, after: int, watchdog_s: float, ring_records: int, call_later: CallLater
    ) -> None:
        self.sid = sid
        self.followers = 0
        self.feeds = 0
        self._log = log
        self._ring: deque[Record] = deque(maxlen=ring_records)
        self._next_seq = after + 1
        self._ended = False
        self._told: EdgewiseError | None = None
        self._quiet_watchdogs = 0
        self._watchdog_s = watchdog_s
        self._call_later = call_later
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._tailing: asyncio.Task[None] | None = None

    @property
    def stopped(self) -> bool:
        """Whether this tailer failed before the stream ended."""
        return self._tailing is not None and self._tailing.done() and not self._ended

    def reaches(self, after: int) -> bool:
        """Whether the record beyond `after` is in the ring, or will be the next one to come into it."""
        return self._next_seq - len(self._ring) <= after + 1 <= self._next_seq

    def watch(self) -> None:
        """Read on from the log itself, beside any feed; nothing is to do when that goes on already."""
        if self._tailing is None and not self._ended:
            self._watching = asyncio.create_task(self._watch(), name=f"watch-{self.sid}")
            self._tailing = asyncio.create_task(self._tail(), name=f"tail-{self.sid}")

    def take(self, records: list[Record]) -> None:
        """Add records that the log holds; those that are known are dropped, and a hole is filled from the log."""
        fresh = [record for record in records if record.seq >= self._next_seq]
        if not fresh:
            return
        if fresh[0].seq > self._next_seq:
            self.watch()
            self._wake.set()
            return
        self._ring.extend(fresh)
        self._next_seq = fresh[-1].seq + 1
        self._ended = ends_stream(fresh[-1])
        self._announce()

    async def beyond(self, after: int) -> list[Record]:
        """The next records beyond `after`, from the ring where it has them; none when the stream has ended there."""
        while True:
            records = self._from_ring(after)
            if records is None:
                records = await self._log.read(self.sid, after=after, limit=PAGE_RECORDS)
            if records or (self._ended and after >= self._next_seq - 1):
                return records
            await self._growth(after)

    def fail(self, error: EdgewiseError) -> None:
        """Let every follower that has read all there is raise `error`."""
        self._told = error
        self._announce()

    async def close(self) -> None:
        """Stop watching; followers are gone by now."""
        tasks = [task for task in (self._watching, self._tailing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _from_ring(self, after: int) -> list[Record] | None:
        """What the ring holds beyond `after`; None when the first of it has left the ring."""
        ring_start = self._next_seq - len(self._ring)
        if after + 1 < ring_start:
            return None
        return list(islice(self._ring, after + 1 - ring_start, None))

    async def _growth(self, after: int) -> None:
        """Wait for a record beyond `after`. Nothing is awaited between the check and the wait."""
        while self._next_seq <= after + 1 and not self._ended:
            if self._told is not None:
                raise self._told
            if self._tailing is not None and self._tailing.done():
                self._tailing.result()
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    async def _tail(self) -> None:
        try:
            while not self._ended:
                await self._pause()
                await self._fill()
        finally:
            self._announce()

    async def _pause(self) -> None:
        """Until a wake-up or the watchdog, whichever is first; a watch that died is started again."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name=f"watch-{self.sid}")
        watchdog = self._call_later(self._watchdog_s, self._on_watchdog)
        await self._wake.wait()
        watchdog.cancel()
        self._wake.clear()

    def _on_watchdog(self) -> None:
        self._quiet_watchdogs += 1
        self._wake.set()

    async def _fill(self) -> None:
        """Read what is new, page by page. A log that lost its tail gets time for its writer to send it again."""
        page: list[Record] | None = None
        while page is None or len(page) == PAGE_RECORDS:
            try:
                page = await self._log.read(self.sid, after=self._next_seq - 1, limit=PAGE_RECORDS)
            except CursorAheadError:
                if self._quiet_watchdogs >= _REGRESSED_WATCHDOGS:
                    raise
                return
            self._quiet_watchdogs = 0
            self.take(page)

    def _announce(self) -> None:
        """Wake everybody who waits now. (An asyncio.Event does the same for half as many readers.)"""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def _watch(self) -> None:
        try:
            async for _ in self._log.watch(self.sid):
                self._wake.set()
        except LogUnavailableError as error:
            logger.warning("watch lost: %s", error.message, extra={"stream": self.sid})
        except EdgewiseError:
            self._wake.set()


def ends_stream(record: Record) -> bool:
    """Whether nothing follows this record."""
    return is_terminal(decode_entry(record.payload))
