"""One ladder: a table of rungs with thresholds, and Climb, which says on which rung the device stands. Pure.

Up at once when a threshold is passed, down slowly: `Climb` says exactly what it promises. No signal is computed here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise

from edge_agent.ladder.limits import Limits

SPAN_S = 600.0


@dataclass(frozen=True, slots=True)
class Signal:
    """A number that a ladder goes by: its name in the code, and how people read it."""

    name: str
    words: str
    unit: str

    def say(self, value: float) -> str:
        return f"{self.words} {value:.3g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Bound:
    """A threshold on one signal: it calls a rung at `enter` or beyond, and holds it until `leave` has been passed.

    Low values are the bad ones where `enter` < `leave`. `back` is the signal to leave by, where it is another one.
    """

    signal: Signal
    enter: float
    leave: float
    back: Signal | None = None

    def __post_init__(self) -> None:
        if self.enter == self.leave:
            raise ValueError(f"{self.signal.name}: enter and leave are both {self.enter}: there is no band between")

    def calls(self, known: Mapping[str, float]) -> bool:
        """Whether the signal is known and at `enter` or beyond."""
        value = known.get(self.signal.name)
        return value is not None and (value <= self.enter if self.enter < self.leave else value >= self.enter)

    def holds(self, known: Mapping[str, float]) -> bool:
        """Whether the signal is known and has not passed `leave`."""
        value = known.get((self.back or self.signal).name)
        return value is not None and (value < self.leave if self.enter < self.leave else value > self.leave)

    def why_up(self, known: Mapping[str, float]) -> str:
        """The reading that called, with its threshold."""
        sign = "<=" if self.enter < self.leave else ">="
        return f"{self.signal.say(known[self.signal.name])} {sign} {self.enter:g}"

    def why_down(self, known: Mapping[str, float]) -> str | None:
        """The reading that no longer holds; None where it is unknown."""
        signal = self.back or self.signal
        return signal.say(known[signal.name]) if signal.name in known else None


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a ladder: what it adds to the limits of the rungs below, and when it is called and left.

    The facts must be calm for `dwell_s` before it is left. An `urgent` rung is dear: it is entered only when called.
    """

    name: str
    limits: Limits
    bounds: tuple[Bound, ...]
    dwell_s: float
    urgent: bool = False


@dataclass(frozen=True)
class Table:
    """A ladder's rungs from harmless to grave, the free ground below the first, and the rung to start on.

    Raises ValueError when an urgent rung has one above it that is not urgent.
    """

    ladder: str
    ground: str
    rungs: tuple[Rung, ...]
    start: int = 0

    def __post_init__(self) -> None:
        if any(lower.urgent and not upper.urgent for lower, upper in pairwise(self.rungs)):
            raise ValueError(f"{self.ladder}: every rung above an urgent one is urgent")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.ground, *(rung.name for rung in self.rungs))

    @property
    def last_calm(self) -> int:
        """The highest level that is not urgent."""
        return sum(not rung.urgent for rung in self.rungs)

    @property
    def limits(self) -> tuple[Limits, ...]:
        """The limits of each level: those of its rung and of all below it."""
        return tuple(accumulate((rung.limits for rung in self.rungs), Limits.__and__, initial=Limits()))


@dataclass(frozen=True, slots=True)
class Change:
    """A ladder went from one rung to another, for the log and for telemetry. `at_s` is on the ladder's clock."""

    ladder: str
    before: str
    after: str
    why: str
    at_s: float
    up: bool
    urgent: bool = False

    def values(self) -> dict[str, str | bool]:
        """The change as flat values of a telemetry record."""
        return {
            "ladder": self.ladder,
            "from": self.before,
            "to": self.after,
            "why": self.why,
            "up": self.up,
            "urgent": self.urgent,
        }


class Climb:
    """Stands on one rung of a table. Whatever the signals do:

    - it goes down no sooner than ten minutes after its last switch, and only past rungs that were calm one after the
      other, each for its dwell time;
    - it goes up at once; as a second switch within ten minutes to the last rung that is not urgent, or beyond.
    So in any ten minutes it makes at most two switches and, beyond them, one for each urgent rung of its table.
    A signal that is missing keeps its last value: losing a sensor moves nothing.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._limits = table.limits
        self._known: dict[str, float] = {}
        self._wanted = self.level = table.start
        self._calm_since_s: float | None = None
        self._switched_s: deque[float] = deque()

    @property
    def table(self) -> Table:
        return self._table

    @property
    def name(self) -> str:
        """The name of the rung."""
        return self._table.names[self.level]

    @property
    def limits(self) -> Limits:
        return self._limits[self.level]

    def free_at_s(self, now_s: float) -> float:
        """When it will go down at the earliest, should the facts be calm from now on; now where it stands free."""
        if not self.level:
            return now_s
        span_s = self._switched_s[-1] + SPAN_S if self._switched_s else now_s
        if self._wanted < self.level:
            return max(now_s, span_s)
        calm_since_s = now_s if self._calm_since_s is None else self._calm_since_s
        return max(now_s, span_s, calm_since_s + self._table.rungs[self.level - 1].dwell_s)

    def step(self, signals: Mapping[str, float], now_s: float) -> Change | None:
        """Take in what is known now; NaN and infinities are not. Returns the switch, when there is one."""
        self._known |= {name: value for name, value in signals.items() if math.isfinite(value)}
        self._follow(now_s)
        while self._switched_s and now_s - self._switched_s[0] >= SPAN_S:
            self._switched_s.popleft()
        return self._switch(now_s) if self._may_switch() else None

    def _follow(self, now_s: float) -> None:
        """Move the wanted level: up to what is called, down one rung after its dwell time of calm."""
        called = self._called()
        if called > self._wanted:
            self._wanted, self._calm_since_s = called, None
        elif not self._wanted or self._is_held():
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        elif now_s - self._calm_since_s >= self._table.rungs[self._wanted - 1].dwell_s:
            self._wanted, self._calm_since_s = self._wanted - 1, now_s

    def _called(self) -> int:
        levels = range(len(self._table.rungs), 0, -1)
        return next((level for level in levels if any(bound.calls(self._known) for bound in self._bounds(level))), 0)

    def _is_held(self) -> bool:
        """Held as well where nothing is known at all: a sensor that never spoke moves no ladder from its start."""
        bounds = self._bounds(self._wanted)
        known = any((bound.back or bound.signal).name in self._known for bound in bounds)
        return not known or any(bound.holds(self._known) for bound in bounds)

    def _bounds(self, level: int) -> tuple[Bound, ...]:
        return self._table.rungs[level - 1].bounds

    def _may_switch(self) -> bool:
        return self._wanted > self.level or (self._wanted < self.level and not self._switched_s)

    def _switch(self, now_s: float) -> Change:
        before, up = self.name, self._wanted > self.level
        why = self._why_up() if up else self._why_down()
        urgent = up and self._table.rungs[self._wanted - 1].urgent
        if up and not urgent and self._switched_s:
            self._wanted = self._table.last_calm
        self.level = self._wanted
        self._switched_s.append(now_s)
        return Change(self._table.ladder, before, self.name, why, now_s, up, urgent)

    def _why_up(self) -> str:
        return ", ".join(bound.why_up(self._known) for bound in self._bounds(self._wanted) if bound.calls(self._known))

    def _why_down(self) -> str:
        bounds = [bound for level in range(self._wanted + 1, self.level + 1) for bound in self._bounds(level)]
        return f"calm: {', '.join(self._readings(tuple(bounds)))}"

    def _readings(self, bounds: tuple[Bound, ...]) -> list[str]:
        return list(dict.fromkeys(said for bound in bounds if (said := bound.why_down(self._known)) is not None))


def strictest(limits: tuple[Limits, ...]) -> Limits:
    """All of them at once."""
    return reduce(Limits.__and__, limits, Limits())
