"""Timers as an argument, so that tests turn the clock by hand instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    """A timer that is running."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Handle]
"""Calls the function once after so many seconds, unless the handle is cancelled first."""


def loop_call_later(delay_s: float, callback: Callable[[], None]) -> Handle:
    """The running event loop's timer."""
    return asyncio.get_running_loop().call_later(delay_s, callback)
