"""The loop that ends what an expired key holds open: listeners of the key ring hear of it within a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from control_plane.accounts.keyring import KeyRing

LOOK_AGAIN_S = 60.0
"""The longest sleep: a clock that was set is noticed after this time."""


async def wait_for_change(changed: asyncio.Event, timeout_s: float) -> None:
    """Until a key came or went, or the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            await changed.wait()
    except TimeoutError:
        return


class ExpiryWatch:
    """Runs until cancelled; asleep between expiries."""

    def __init__(
        self,
        keyring: KeyRing,
        *,
        now_s: Callable[[], float] = time.time,
        wait: Callable[[asyncio.Event, float], Awaitable[None]] = wait_for_change,
    ) -> None:
        self._keyring = keyring
        self._now_s = now_s
        self._wait = wait

    async def run(self) -> None:
        """Tell of each expiry when it comes."""
        while True:
            self._keyring.changed.clear()
            self._keyring.expire()
            await self._wait(self._keyring.changed, self._until_next_s())

    def _until_next_s(self) -> float:
        end_s = self._keyring.next_end_s()
        return LOOK_AGAIN_S if end_s is None else min(LOOK_AGAIN_S, max(0.0, end_s - self._now_s()))
