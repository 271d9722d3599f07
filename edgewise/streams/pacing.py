"""Pacing: how fast one reader of a stream is shown it. Only the reader waits: the log is written as fast as ever."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from edgewise.streams.entries import Entry, TokensEntry, decode_entry
from edgewise.streams.log import Record

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

    async def before(self, record: Record) -> None:
        """Wait until the record may be shown; only tokens ever do. Raises LogUnavailableError where it is no entry."""
        tokens = _tokens(decode_entry(record.payload))
        if not tokens:
            return
        now = self._clock()
        if self._due > now:
            await self._sleep(self._due - now)
        self._due = max(self._due, now) + tokens / self._tokens_per_s


def _tokens(entry: Entry) -> int:
    if not isinstance(entry, TokensEntry):
        return 0
    return len(entry.ids) or math.ceil(len(entry.text.encode()) / BYTES_PER_TOKEN)
