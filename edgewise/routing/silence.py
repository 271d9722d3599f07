"""Noticing a long silence of an answer: a timer that looks again when it fires, so that a chunk costs an assignment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from edgewise.streams.timer import CallLater, Handle, loop_call_later

LOOK_AGAIN_S = 0.05


class SilenceWatch:
    """Runs `warn()` once per `soft_s` seconds in which `heard` was not called, while it is open (`async with`)."""

    def __init__(
        self,
        soft_s: float,
        warn: Callable[[], Coroutine[Any, Any, None]],
        *,
        clock: Callable[[], float],
        call_later: CallLater = loop_call_later,
    ) -> None:
        self._soft_s = soft_s
        self._warn = warn
        self._clock = clock
        self._call_later = call_later
        self._heard_at = clock()
        self._timer: Handle | None = None
        self._warning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> SilenceWatch:
        self._timer = self._call_later(self._soft_s, self._look)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._warning is not None:
            self._warning.cancel()
            await asyncio.gather(self._warning, return_exceptions=True)

    def heard(self) -> float:
        """Something came; returns when, on the clock."""
        self._heard_at = self._clock()
        return self._heard_at

    def _look(self) -> None:
        quiet_s = self._clock() - self._heard_at
        if quiet_s >= self._soft_s:
            self._warning = asyncio.create_task(self._warn(), name="silence-warning")
            quiet_s = 0.0
        self._timer = self._call_later(max(self._soft_s - quiet_s, LOOK_AGAIN_S), self._look)
