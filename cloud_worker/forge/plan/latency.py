"""`edgewise plan latency`: which measures bring the time of an answer under a target, over the five latency points.

The search is exact: the set of least effort that reaches the target, among equals the fastest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloud_worker.forge.plan.inputs import not_negative, positive, refuse
from edgewise.observability.names import POINTS

MOST_MEASURES: Final = 16


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Something to do about one point: `gain` is the share of that point's time it takes away, `effort` what it costs
    in any unit that adds up (days, say)."""

    name: str
    point: str
    gain: float
    effort: float


EXAMPLE_MS: Final = {"network": 90.0, "queue": 110.0, "tokenization": 15.0, "model": 265.0, "postprocessing": 20.0}
"""500 ms as an example; `edgewise status --latency --json` has the true ones."""

EXAMPLE_MEASURES: Final = (
    Measure(name="keep connections open to the nearest gateway", point="network", gain=0.5, effort=1),
    Measure(name="answer easy requests on the device", point="network", gain=0.9, effort=5),
    Measure(name="iteration-level batching", point="queue", gain=0.7, effort=3),
    Measure(name="one more worker", point="queue", gain=0.5, effort=2),
    Measure(name="tokenize once, hand over ids", point="tokenization", gain=0.5, effort=1),
    Measure(name="keep the beginnings of prompts", point="model", gain=0.4, effort=2),
    Measure(name="int8 weights", point="model", gain=0.35, effort=2),
    Measure(name="speculation with a draft model", point="model", gain=0.45, effort=4),
    Measure(name="flush the first token at once", point="postprocessing", gain=0.5, effort=1),
)
"""Gains and efforts are examples to be replaced by what a benchmark of one's own says."""


@dataclass(frozen=True, kw_only=True)
class PointPlan:
    """One point before and after the chosen measures, in ms."""

    point: str
    now_ms: float
    then_ms: float


@dataclass(frozen=True, kw_only=True)
class LatencyPlan:
    """What to do. Where `reached` is false the measures are the fastest there are, and `then_ms` says how far off."""

    now_ms: float
    target_ms: float
    then_ms: float
    reached: bool
    effort: float
    measures: tuple[Measure, ...]
    points: tuple[PointPlan, ...]


def plan_latency(points_ms: Mapping[str, float], target_ms: float, measures: Sequence[Measure]) -> LatencyPlan:
    """The least effort that reaches the target. Gains at one point multiply: two of 50 % leave a quarter. Raises
    PlanInputError."""
    _check(points_ms, target_ms, measures)
    chosen = min(_subsets(measures), key=lambda chosen: _rank(points_ms, target_ms, chosen))
    rows = tuple(
        PointPlan(point=point, now_ms=points_ms.get(point, 0.0), then_ms=_after(points_ms, point, chosen))
        for point in POINTS
    )
    then_ms = sum(row.then_ms for row in rows)
    return LatencyPlan(
        now_ms=sum(row.now_ms for row in rows),
        target_ms=target_ms,
        then_ms=then_ms,
        reached=then_ms <= target_ms,
        effort=sum(measure.effort for measure in chosen),
        measures=chosen,
        points=rows,
    )


def _subsets(measures: Sequence[Measure]) -> Iterable[tuple[Measure, ...]]:
    sizes = range(len(measures) + 1)
    return itertools.chain.from_iterable(itertools.combinations(measures, size) for size in sizes)


def _rank(points_ms: Mapping[str, float], target_ms: float, chosen: Sequence[Measure]) -> tuple[bool, float, float]:
    """Those that reach the target by effort, then time; the others by time, then effort."""
    then_ms = sum(_after(points_ms, point, chosen) for point in POINTS)
    effort = sum(measure.effort for measure in chosen)
    missed = then_ms > target_ms
    return (missed, then_ms, effort) if missed else (missed, effort, then_ms)


def _after(points_ms: Mapping[str, float], point: str, chosen: Sequence[Measure]) -> float:
    left = points_ms.get(point, 0.0)
    for measure in chosen:
        left *= 1 - measure.gain if measure.point == point else 1
    return left


def read_measures(raw: Any) -> tuple[Measure, ...]:
    """Measures from JSON or YAML: a list of {name, point, gain (0 to 1), effort}. Raises PlanInputError."""
    if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
        raise refuse("The measures are no list of objects", "measures", "[{name, point, gain, effort}, …]")
    return tuple(_measure(index, each) for index, each in enumerate(raw))


def _measure(index: int, raw: Mapping[str, Any]) -> Measure:
    where = f"measures[{index}]"
    name, point = raw.get("name"), raw.get("point")
    if not isinstance(name, str) or not isinstance(point, str):
        raise refuse("A measure has no name or no point", where, "name and point as text")
    return Measure(
        name=name, point=point, gain=_number(raw.get("gain"), f"{where}.gain"),
        effort=_number(raw.get("effort", 1), f"{where}.effort"),
    )  # fmt: skip


def read_points(raw: Any) -> dict[str, float]:
    """Milliseconds by point: {point: ms}, or what `edgewise status --latency --json` prints (its p50). Raises
    PlanInputError."""
    points = raw.get("points", raw) if isinstance(raw, dict) else None
    if not isinstance(points, dict):
        raise refuse("The times are no object", "points", "{point: ms}")
    return {str(name): _number(_p50(value), f"points.{str(name)[:40]}") for name, value in points.items()}


def _p50(value: Any) -> Any:
    return value.get("p50_ms") if isinstance(value, dict) else value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12:
        raise refuse("That is no usable number", where, "a number of at least zero")
    return not_negative(float(value), where)


def _check(points_ms: Mapping[str, float], target_ms: float, measures: Sequence[Measure]) -> None:
    positive(target_ms, "target")
    for name, value in points_ms.items():
        if name not in POINTS:
            raise refuse(f"{name[:40]!r} is no latency point", "points", ", ".join(POINTS))
        not_negative(value, name)
    if len(measures) > MOST_MEASURES:
        raise refuse(f"{len(measures)} measures are too many to try all", "measures", f"at most {MOST_MEASURES}")
    for measure in measures:
        _check_measure(measure)


def _check_measure(measure: Measure) -> None:
    where = measure.name[:40]
    if measure.point not in POINTS:
        raise refuse(f"{measure.point[:40]!r} is no latency point", where, ", ".join(POINTS))
    if not 0 < measure.gain <= 1:
        raise refuse(f"A gain of {measure.gain} cannot be", where, "a share above 0 and at most 1")
    not_negative(measure.effort, where)
