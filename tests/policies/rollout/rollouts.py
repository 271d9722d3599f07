"""Small rollouts for tests: documents, plans, and states on their way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from policies.rollout import (
    Approved,
    Counts,
    Event,
    Measured,
    Measures,
    RolloutPlan,
    RolloutState,
    Share,
    Step,
    Ticked,
    advance,
    begin,
    load_rollout,
)

HEAD = "apiVersion: edgewise/v1\nkind: PolicyRollout\nmetadata: {name: r42}\nspec:\n"
START_S = 1_796_112_000.0  # 2026-12-01T08:00:00Z, a Tuesday
HOUR_S = 3600.0
STAGES: list[dict[str, Any]] = [
    {"mode": "shadow", "for": "2h"},
    {"mode": "enforce", "percent": 5, "for": "1h"},
    {"mode": "enforce", "percent": 100},
]


def document(**spec: Any) -> str:
    """A rollout of three stages without gates; `spec` adds or replaces its parts."""
    head = {"apiVersion": "edgewise/v1", "kind": "PolicyRollout", "metadata": {"name": "r42"}}
    return json.dumps({**head, "spec": {"policy": "field-tablets@42", "stages": STAGES, **spec}})


def planned(**spec: Any) -> RolloutPlan:
    """The plan of `document`."""
    return load_rollout(document(**spec))


def after(plan: RolloutPlan, *events: Event, author: str = "ada") -> RolloutState:
    """The state that these events lead to; none may be refused."""
    state = begin(plan, author, START_S)
    for event in events:
        step = advance(plan, state, event)
        assert step.refused is None, step.reason
        state = step.state
    return state


def ticks(*hours: float) -> list[Ticked]:
    """Ticks so many hours after the start."""
    return [Ticked(START_S + hour * HOUR_S) for hour in hours]


def approvals(*names: str) -> list[Approved]:
    """Approvals right at the start."""
    return [Approved(name, START_S) for name in names]


def counted(run: int = 1, hour: float = 0.5, /, **shares: tuple[int, int]) -> Measured:
    """The candidate's shares, half an hour after the start."""
    counts = Counts({name: Share(*pair) for name, pair in shares.items()})
    return Measured(run, Measures(Counts(), counts), START_S + hour * HOUR_S)


def steps(plan: RolloutPlan, state: RolloutState, events: Iterable[Event]) -> list[Step]:
    """The step of each event."""
    out: list[Step] = []
    for event in events:
        out.append(advance(plan, state, event))
        state = out[-1].state
    return out
