"""Pacing: how fast one reader of a stream is shown it. Only the reader waits: the log is written as fast as ever."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final

from edgewise.streams.entries import CancelEntry, Entry, TokensEntry, decode_entry
from edgewise.streams.log import Record
from edgewise.wire.errors import EdgewiseError

Records = AsyncGenerator[Record, None]
Sleep = Callable[[float], Awaitable[object]]

BYTES_PER_TOKEN: Final = 4
"""What a token of text without ids is taken for, in UTF-8."""


class Pace:
    """Holds the tokens of one reader back so that they come no faster than `tokens_per_s`; the first ones at once.

    What a silence left unused is not made up for by a burst. A record stays whole, since a cursor never splits one.
    """

    def __init__(
        self,
        tokens_per_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._tokens_per_s = tokens_per_s
        self._clock = clock
        self._sleep = sleep
        self._due = -math.inf
        self._nap: asyncio.Future[object] | None = None

    async def before(self, record: Record) -> None:
        """Wait until the record may be shown; only tokens ever do. Raises LogUnavailableError where it is no entry."""
        tokens = _tokens(decode_entry(record.payload))
        if not tokens:
            return
        now = self._clock()
        if self._due > now:
            await self._wait(self._due - now)
        self._due = max(self._due, now) + tokens / self._tokens_per_s

    def hurry(self) -> None:
        """From now on nothing waits any more, and what waits now is shown."""
        self._tokens_per_s, self._due = math.inf, -math.inf
        if self._nap is not None:
            self._nap.cancel()

    async def _wait(self, seconds: float) -> None:
        self._nap = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait([self._nap])
        finally:
            self._nap.cancel()


async def paced(follow: Callable[[int], Records], pace: Pace, after: int = -1) -> Records:
    """Every record of a stream that is followed from a cursor; those beyond `after` at the pace. Once the stream is
    cancelled, what is left of it comes without waiting: nobody wants to be shown slowly what they have stopped."""
    watching = asyncio.create_task(_hurry_when_cancelled(follow(after), pace), name="pace")
    try:
        async with aclosing(follow(-1)) as records:
            async for record in records:
                if record.seq > after:
                    await pace.before(record)
                yield record
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _hurry_when_cancelled(records: Records, pace: Pace) -> None:
    """Reads ahead of who is held back, and keeps nothing."""
    with suppress(EdgewiseError):  # which that one is told, too
        async with aclosing(records):
            async for record in records:
                if isinstance(decode_entry(record.payload), CancelEntry):
                    pace.hurry()


def _tokens(entry: Entry) -> int:
    if not isinstance(entry, TokensEntry):
        return 0
    return len(entry.ids) or math.ceil(len(entry.text.encode()) / BYTES_PER_TOKEN)
