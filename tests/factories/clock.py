"""A clock that tests turn by hand: it tells the time and runs timers, and nobody sleeps."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable


class _Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """`clock()` is the time in seconds, `clock.call_later` starts timers that `advance` fires in order."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (self.now + delay_s, next(self._order), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Let time pass; tasks that the timers start get to run."""
        until = self.now + seconds
        while self._fire_next(until):
            await settle()
        self.now = until
        await settle()

    def jump(self, seconds: float) -> None:
        """Let time pass at once: timers fire, but the tasks that they start have not run yet."""
        until = self.now + seconds
        while self._fire_next(until):
            pass
        self.now = until

    def _fire_next(self, until: float) -> bool:
        if not self._timers or self._timers[0][0] > until:
            return False
        self.now, _, timer = heapq.heappop(self._timers)
        if timer.callback is not None:
            timer.callback()
        return True


async def settle() -> None:
    """Give every task that can run the chance to."""
    for _ in range(20):
        await asyncio.sleep(0)
