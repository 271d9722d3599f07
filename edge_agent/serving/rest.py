"""Rest: the moment in which a model may go. No answer uses it, and none that was handed over may still come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from edge_agent.serving.opened import Opened
from edgewise.ending import end

LINGER_S: Final = 35.0
"""An answer that was handed over comes back where nobody takes it, and a tier is waited for 30 s (the stall limit of
routing/plan.py): so long its model stays, unless all of them are back sooner."""
HOLD_AFTER_S: Final = 5.0
"""Without room for two models an exchange waits for a moment without answers; after so long new answers wait for it."""
_LOOK_S: Final = 0.25


class Rest:
    """Waits for it. `asked` is set when something else may be wanted, `ready` by this when new answers need not wait
    any more: they do while it `holds`. `clock` is monotonic seconds."""

    def __init__(self, asked: asyncio.Event, ready: asyncio.Event, clock: Callable[[], float]) -> None:
        self._asked, self._ready, self._clock = asked, ready, clock
        self._away: list[tuple[object, float]] = []
        self.holds = False

    def left(self, answer: object) -> None:
        """This answer (anything that is equal when it comes back) was just handed over."""
        self._away.append((answer, self._clock()))

    def back(self, answer: object) -> None:
        """One that has begun is here, perhaps again."""
        for each in self._away:
            if each[0] == answer:
                self._away.remove(each)
                return

    async def reached(self, model: Opened, due: Callable[[], bool], *, hold_after_s: float | None = None) -> bool:
        """Wait for it; after `hold_after_s` new answers wait, too. False when it is no longer `due`."""
        began_at = self._clock()
        try:
            while model.users or self._may_come_back():
                self.holds = hold_after_s is not None and self._clock() - began_at >= hold_after_s
                waits = [asyncio.create_task(self._asked.wait())]
                if model.users:
                    waits.append(asyncio.create_task(model.at_rest.wait()))
                pause_s = None if model.users and (self.holds or hold_after_s is None) else _LOOK_S
                await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                await end(*waits)
                self._asked.clear()
                if not due():
                    return False
            return True
        finally:
            self.holds = False
            self._ready.set()

    def _may_come_back(self) -> bool:
        now = self._clock()
        self._away = [each for each in self._away if now - each[1] < LINGER_S]
        return bool(self._away)
