"""Attempts that belong together are handed over together: answers to one prompt then have it read once. Event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from edgewise.generation.state import GenerationState

WITHIN_S: Final = 0.05
"""How long those that came wait for those that were announced; some of these may never come."""

Attempts = Sequence[tuple[str, GenerationState]]
CallLater = Callable[[float, Callable[[], object]], asyncio.TimerHandle]


@dataclass(slots=True)
class _Group:
    """`missing` more of them will come, or the timer runs out."""

    timer: asyncio.TimerHandle
    missing: int = 0
    held: list[tuple[str, GenerationState]] = field(default_factory=list)


class Gathering:
    """Hands attempts over as they come, but for those that were announced: the last of these brings them all.

    Choices of one request share its seed, and are known by it; who has another one never waits.
    """

    def __init__(self, hand_over: Callable[[Attempts], None]) -> None:
        self._hand_over = hand_over
        self._groups: dict[int, _Group] = {}

    def announce(self, seed: int, attempts: int, call_later: CallLater, within_s: float = WITHIN_S) -> None:
        """So many more with this seed will come at once."""
        if (group := self._groups.get(seed)) is None:
            group = self._groups[seed] = _Group(call_later(within_s, lambda: self._flush(seed)))
        group.missing += attempts

    def put(self, attempt: str, state: GenerationState) -> None:
        """An attempt has come."""
        if (group := self._groups.get(state.seed)) is None:
            self._hand_over([(attempt, state)])
            return
        group.held.append((attempt, state))
        group.missing -= 1
        if group.missing <= 0:
            self._flush(state.seed)

    def drop(self, attempt: str) -> None:
        """It is over before it was handed over; unknown ones are ignored."""
        for group in self._groups.values():
            group.held = [each for each in group.held if each[0] != attempt]

    def _flush(self, seed: int) -> None:
        """Wait for nobody of them any more."""
        group = self._groups.pop(seed)
        group.timer.cancel()
        if group.held:
            self._hand_over(group.held)
