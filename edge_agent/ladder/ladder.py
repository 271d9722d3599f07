"""Ladder: the four ladders in step. Facts and a time in, the standing out: limits, rungs, what changed and why.

Pure and deterministic: no clock, no file, no thread. Who reads the sensors and who obeys is in watch.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from edge_agent.ladder.climb import Change, Climb, Table, strictest
from edge_agent.ladder.facts import LadderFacts
from edge_agent.ladder.limits import Limits
from edge_agent.ladder.signals import BatterySignals, ContentionSignals, HeatSignals, MemorySignals, Signals
from edge_agent.ladder.tables import (
    LadderSettings,
    battery_table,
    contention_table,
    heat_table,
    memory_table,
)

COOLING = "cooling"


class Reader(Protocol):
    """Turns facts into the signals of one ladder."""

    def read(self, facts: LadderFacts, now_s: float) -> Signals: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the device stands: what it may do, the rung of each ladder, and what this step changed."""

    limits: Limits
    rungs: Mapping[str, str]
    changes: tuple[Change, ...] = ()


class Ladder:
    """Steps about once a second. Times are seconds of one monotonic clock; one that goes back counts as no time."""

    def __init__(self, settings: LadderSettings | None = None) -> None:
        settings = settings or LadderSettings()
        self._pairs: tuple[tuple[Climb, Reader], ...] = (
            (Climb(memory_table(settings)), MemorySignals()),
            (Climb(heat_table(settings)), HeatSignals(settings.throttle_c)),
            (Climb(battery_table(settings)), BatterySignals()),
            (Climb(contention_table(settings)), ContentionSignals()),
        )
        self._now_s = float("-inf")

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(climb.table for climb, _ in self._pairs)

    def step(self, facts: LadderFacts, now_s: float) -> Standing:
        """The standing after these facts."""
        self._now_s = now_s = max(now_s, self._now_s)
        changes = [climb.step(reader.read(facts, now_s), now_s) for climb, reader in self._pairs]
        return Standing(
            strictest(tuple(_limits(climb, now_s) for climb, _ in self._pairs)),
            {climb.table.ladder: climb.name for climb, _ in self._pairs},
            tuple(change for change in changes if change is not None),
        )


def _limits(climb: Climb, now_s: float) -> Limits:
    """A ladder's limits; while the device cools down they say until when at least."""
    if climb.name != COOLING:
        return climb.limits
    return replace(climb.limits, cooling_until_s=climb.free_at_s(now_s))
