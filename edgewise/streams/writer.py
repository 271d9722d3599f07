"""The writing end of one stream: batches tokens, owns epoch and sequence numbers, keeps the lease, stops when fenced.

What was accepted stays in memory until the stream ends, so a lost tail of the log is sent again, entry by entry.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from edgewise.streams.entries import EndEntry, Entry, TokensEntry, encode_entry, is_terminal
from edgewise.streams.log import Claim, Record, StreamLog
from edgewise.streams.timer import CallLater, Handle, loop_call_later
from edgewise.wire.errors import FencedError, LogGapError, LogUnavailableError
from edgewise.wire.limits import FLUSH_AFTER_S, FLUSH_AFTER_TOKENS, LEASE_S

logger = logging.getLogger(__name__)

_RENEWALS_PER_LEASE = 3
_MARGIN_OF_LEASE = 0.1
_AT_ONCE_MAX = 64


OnStored = Callable[[list[Record]], None]


class StreamWriter:
    """Appends to stream `sid` under `claim`. Safe for several tasks; entries keep the order in which calls arrived.

    Every method raises FencedError once another claim or a cancel has fenced this writer (`fenced` is set then), and
    LogUnavailableError while the log cannot take the entry; the entry is kept and sent again by the next call.
    `lease_s` is the lease of the claim, `clock` counts monotonic seconds, `call_later` starts timers on that clock.
    `on_stored` hears of records that the log has just confirmed, `on_waited` how long that took, `on_fenced` once that
    the stream is no longer ours.
    """

    def __init__(
        self,
        log: StreamLog,
        sid: str,
        claim: Claim,
        *,
        lease_s: float = LEASE_S,
        flush_after_s: float = FLUSH_AFTER_S,
        flush_after_tokens: int = FLUSH_AFTER_TOKENS,
        on_stored: OnStored = lambda records: None,
        on_waited: Callable[[float], None] = lambda seconds: None,
        on_fenced: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        call_later: CallLater = loop_call_later,
    ) -> None:
        self.fenced = asyncio.Event()
        self._log = log
        self._sid = sid
        self._claim = claim
        self._lease_s = lease_s
        self._flush_after_s = flush_after_s
        self._flush_after_tokens = flush_after_tokens
        self._on_stored = on_stored
        self._on_waited = on_waited
        self._on_fenced = on_fenced
        self._clock = clock
        self._call_later = call_later
        self._buffer = _TokenBuffer()
        self._tail: list[bytes] = []
        self._ended = False
        self._stored = 0
        self._flushed_at = float("-inf")
        self._renewed_at = clock()
        self._turn = asyncio.Lock()
        self._flush_timer: Handle | None = None
        self._lease_timer: Handle | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def epoch(self) -> int:
        return self._claim.epoch

    @property
    def next_seq(self) -> int:
        """The sequence number after the last entry that the log has confirmed."""
        return self._claim.next_seq + self._stored

    async def __aenter__(self) -> Self:
        self._arm_lease()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Store what was accepted, unless fenced. While another exception is leaving, a failure here stays silent."""
        try:
            if not self.fenced.is_set():
                await self._flush()
        except (FencedError, LogUnavailableError):
            if error is None:
                raise
        finally:
            await self._stop_timers()

    async def tokens(self, n0: int, ids: tuple[int, ...], text: str) -> None:
        """Take ids from index `n0` of the answer on, and the text that they released.

        Returns at once while they wait for company: at most `flush_after_s` since the last flush, at most
        `flush_after_tokens` tokens. A token after a pause, so also the first one, is stored before this returns.
        """
        self._check_open()
        if not self._buffer.continues_at(n0, ids):
            await self._flush()
        self._buffer.add(n0, ids, text)
        wait_s = self._flushed_at + self._flush_after_s - self._clock()
        if self._buffer.tokens >= self._flush_after_tokens or wait_s <= 0:
            await self._flush()
        elif self._flush_timer is None:
            self._flush_timer = self._call_later(wait_s, self._on_flush_timer)

    def hold(self, entry: Entry) -> None:
        """Take an entry that is to be stored together with what comes next, at the latest `flush_after_s` from now."""
        self._check_open()
        self._take_buffer()
        self._tail.append(encode_entry(entry))
        self._flush_timer = self._call_later(self._flush_after_s, self._on_flush_timer)

    async def entry(self, entry: Entry) -> None:
        """Store one entry, after the tokens that came before it; it is durable when this returns."""
        self._check_open()
        await self._flush(entry)

    async def end(self, entry: EndEntry) -> None:
        """Store the one end of the stream. Idempotent: a second call makes sure that the first end is stored."""
        if self._ended:
            await self._flush()
        else:
            await self.entry(entry)

    def _check_open(self) -> None:
        if self.fenced.is_set():
            raise self._fenced_error("another claim or a cancel took over")
        if self._ended:
            raise self._fenced_error("this writer has written the end")

    def _fenced_error(self, why: str) -> FencedError:
        return FencedError(
            f"Epoch {self.epoch} may no longer write to stream {self._sid}: {why}",
            where="StreamWriter",
            remedy="stop generating; the log says how the stream went on",
        )

    async def _flush(self, entry: Entry | None = None) -> None:
        """Move the buffer, then `entry`, to the tail in the order of calls, and store the tail."""
        self._take_buffer()
        if entry is not None:
            self._tail.append(encode_entry(entry))
            self._ended = is_terminal(entry)
        async with self._turn:
            await self._store_tail()

    def _take_buffer(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if not self._buffer.empty:
            self._tail.append(encode_entry(self._buffer.take()))
            self._flushed_at = self._clock()

    async def _store_tail(self) -> None:
        """Send what is not stored yet; the log takes in one step what waits together."""
        while self._stored < len(self._tail):
            if self._lease_ran_out():
                await self._renew()
            await self._append(self._tail[self._stored : self._stored + _AT_ONCE_MAX])

    async def _append(self, payloads: list[bytes]) -> None:
        asked_at, seq = self._clock(), self.next_seq
        end = self._ended and self._stored + len(payloads) == len(self._tail)
        try:
            await self._log.append(self._sid, epoch=self.epoch, seq=seq, payloads=payloads, end=end)
        except LogGapError as gap:
            self._rewind_to(gap)
        except FencedError:
            self._fence()
            raise
        else:
            self._renewed_at = asked_at
            self._stored += len(payloads)
            self._on_waited(self._clock() - asked_at)
            self._on_stored([Record(place, self.epoch, payload) for place, payload in enumerate(payloads, seq)])

    def _fence(self) -> None:
        if not self.fenced.is_set():
            self.fenced.set()
            self._on_fenced()

    def _rewind_to(self, gap: LogGapError) -> None:
        """Send again from where the log ends now. Entries older than this claim are not ours to restore."""
        index = gap.next_seq - self._claim.next_seq
        if not 0 <= index < self._stored:
            raise LogUnavailableError(
                f"Stream {self._sid} ends at {gap.next_seq}, but this writer can only send again from "
                f"{self._claim.next_seq} to {self.next_seq}",
                where="StreamWriter",
                remedy="check that the token log runs with appendfsync always, and was not restored from a backup",
            ) from gap
        logger.warning("log lost a tail, sending it again", extra={"stream": self._sid, "from_seq": gap.next_seq})
        self._stored = index

    def _lease_ran_out(self) -> bool:
        return self._clock() - self._renewed_at >= self._lease_s * (1 - _MARGIN_OF_LEASE)

    async def _renew(self) -> None:
        asked_at = self._clock()
        try:
            await self._log.renew(self._sid, epoch=self.epoch)
        except FencedError:
            self._fence()
            raise
        self._renewed_at = asked_at

    def _arm_lease(self) -> None:
        period_s = self._lease_s / _RENEWALS_PER_LEASE
        due_s = self._renewed_at + period_s - self._clock()
        self._lease_timer = self._call_later(due_s if due_s > 0 else period_s, self._on_lease_timer)

    def _on_lease_timer(self) -> None:
        if self._ended or self.fenced.is_set():
            return
        self._spawn(self._renew_if_idle())
        self._arm_lease()

    async def _renew_if_idle(self) -> None:
        """Renew unless an append just did. Waits its turn: a renewal must not overtake the end of the stream."""
        async with self._turn:
            idle_s = self._clock() - self._renewed_at
            if not self._ended and idle_s >= self._lease_s / _RENEWALS_PER_LEASE:
                await self._renew()

    def _on_flush_timer(self) -> None:
        self._flush_timer = None
        self._spawn(self._flush())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._quietly(work), name=f"stream-writer-{self._sid}")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        """Background work has no caller to tell: a fence is seen in `fenced`, an outage by the next call."""
        try:
            await work
        except FencedError:
            logger.info("stream writer fenced", extra={"stream": self._sid, "epoch": self.epoch})
        except LogUnavailableError as error:
            logger.warning("token log unavailable: %s", error.message, extra={"stream": self._sid})

    async def _stop_timers(self) -> None:
        for timer in (self._flush_timer, self._lease_timer):
            if timer is not None:
                timer.cancel()
        for task in tuple(self._background):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class _TokenBuffer:
    """Tokens that wait for company; a chunk without ids (foreign engines) counts as one token."""

    def __init__(self) -> None:
        self.tokens = 0
        self._n0 = 0
        self._ids: list[int] = []
        self._texts: list[str] = []

    @property
    def empty(self) -> bool:
        return self.tokens == 0

    def continues_at(self, n0: int, ids: tuple[int, ...]) -> bool:
        """Whether a chunk may share an entry with what is buffered."""
        if self.empty:
            return True
        return bool(ids) == bool(self._ids) and (not ids or n0 == self._n0 + len(self._ids))

    def add(self, n0: int, ids: tuple[int, ...], text: str) -> None:
        if self.empty:
            self._n0 = n0
        self._ids.extend(ids)
        self._texts.append(text)
        self.tokens += max(len(ids), 1)

    def take(self) -> TokensEntry:
        """Everything buffered as one entry; the buffer is empty afterwards."""
        entry = TokensEntry(self._n0, tuple(self._ids), "".join(self._texts))
        self.tokens = 0
        self._ids.clear()
        self._texts.clear()
        return entry
