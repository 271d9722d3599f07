"""`edgewise plan mixed`: bits for every part of a model under a memory budget, by rule or exactly by sensitivity.

The exact choice is a multiple-choice knapsack, solved by its Pareto front (Nemhauser & Ullmann, 1969).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloud_worker.forge.plan.inputs import not_negative, positive, refuse
from cloud_worker.forge.plan.weights import PRECISIONS, Part, weight_bytes

CHOICES: Final = ("int4", "int8", "float16")
FRONT_MOST: Final = 200_000
Damage = Mapping[str, Mapping[str, float]]
"""Part → precision → what quality loses when that part alone has that precision; any unit, added up over parts."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The precision of one part."""

    part: str
    precision: str
    parameters: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class MixedPlan:
    """One precision for each part. `damage` is the sum over parts, None where no sensitivity was given."""

    method: str
    choices: tuple[Choice, ...]
    bytes: int
    budget_bytes: int
    fits: bool
    damage: float | None
    smallest_bytes: int


def by_thirds(parts: Sequence[Part], budget_bytes: int) -> MixedPlan:
    """The rule of thumb: first third of the layers int8, middle int4, last int8, embedding and head float16."""
    _check(parts, budget_bytes)
    layers = [part.name for part in parts if part.name.startswith("layer.")]
    third = len(layers) / 3
    middle = {name for index, name in enumerate(layers) if third <= index + 0.5 < 2 * third}
    chosen = [_by_rule(part.name, middle) for part in parts]
    return _plan("thirds", parts, chosen, budget_bytes, None)


def _by_rule(name: str, middle: set[str]) -> str:
    if not name.startswith("layer."):
        return "float16"
    return "int4" if name in middle else "int8"


def by_sensitivity(parts: Sequence[Part], budget_bytes: int, damage: Damage, front_most: int = FRONT_MOST) -> MixedPlan:
    """The choice with the least damage among all that fit, and of those the smallest; exact.

    Where nothing fits, the smallest choice is returned with `fits` false. Raises PlanInputError for damage that is
    missing or no number, and for parts so uneven that the front of best choices grows beyond `front_most`.
    """
    _check(parts, budget_bytes)
    table = {part.name: _damage_of(part.name, damage) for part in parts}
    if sum(map(_least, parts)) > budget_bytes:
        return _plan("sensitivity", parts, [_smallest(part) for part in parts], budget_bytes, table)
    return _plan("sensitivity", parts, _best(parts, budget_bytes, table, front_most), budget_bytes, table)


@dataclass(frozen=True, slots=True)
class _State:
    """Choices for the parts so far: their bytes and damage, and how it came about."""

    bytes: int
    damage: float
    precision: str = ""
    before: _State | None = None


def _best(parts: Sequence[Part], budget: int, table: Damage, front_most: int) -> list[str]:
    """Grow the front part by part; a state that would leave no room for the rest is dropped at once."""
    rest = sum(map(_least, parts))
    front = [_State(0, 0.0)]
    for part in parts:
        rest -= _least(part)
        options = [(name, _bytes(part, name), table[part.name][name]) for name in CHOICES]
        front = _undominated(
            [
                _State(state.bytes + size, state.damage + harm, name, state)
                for state in front
                for name, size, harm in options
                if state.bytes + size + rest <= budget
            ]
        )
        if len(front) > front_most:
            raise refuse("There are too many parts of different size to choose exactly", "parts", "layers alike")
    return _path(min(front, key=lambda state: (state.damage, state.bytes)))


def _undominated(states: list[_State]) -> list[_State]:
    """States in the order of their bytes, each with less damage than all before it."""
    kept: list[_State] = []
    for state in sorted(states, key=lambda state: (state.bytes, state.damage)):
        if not kept or state.damage < kept[-1].damage:
            kept.append(state)
    return kept


def _path(last: _State) -> list[str]:
    found = []
    state: _State | None = last
    while state is not None and state.before is not None:
        found.append(state.precision)
        state = state.before
    return found[::-1]


def read_damage(raw: Any, parts: Sequence[Part]) -> Damage:
    """A sensitivity file's content as damage by part and precision.

    {part: number}: damage at int4; a bit more halves the step, so noise power falls by 4 (int8: 1/256 of it, float16
    counts as none). {part: {precision: number}}: as measured. [part, …]: a mere ranking, the most sensitive first;
    the last of n parts counts 1, the first n. Raises PlanInputError.
    """
    if isinstance(raw, list):
        raw = {str(name): len(raw) - rank for rank, name in enumerate(raw)}
    if not isinstance(raw, dict):
        raise refuse("The sensitivity is neither an object nor a list", "sensitivity", "JSON: part → number")
    if unknown := sorted(set(map(str, raw)) - {part.name for part in parts}):
        raise refuse(f"The model has no part {unknown[0][:40]!r}", "sensitivity", _names(parts))
    return {str(name): _spread(name, value) for name, value in raw.items()}


def _spread(name: str, value: Any) -> dict[str, float]:
    if isinstance(value, dict):
        return {str(precision): _number(name, harm) for precision, harm in value.items()}
    at_int4 = _number(name, value)
    return {"int4": at_int4, "int8": at_int4 / 4 ** (PRECISIONS["int8"] - PRECISIONS["int4"]), "float16": 0.0}


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(f"The sensitivity of {name[:40]} is no number", "sensitivity", "a number of at least zero")
    return float(not_negative(value, f"sensitivity of {name[:40]}"))


def _damage_of(name: str, damage: Damage) -> Mapping[str, float]:
    found = damage.get(name, {})
    if missing := [precision for precision in CHOICES if precision not in found]:
        raise refuse(f"The sensitivity of {name} at {missing[0]} is missing", "sensitivity", f"{', '.join(CHOICES)}")
    return found


def _names(parts: Sequence[Part]) -> str:
    return f"{parts[0].name} to {parts[-1].name}"


def _bytes(part: Part, precision: str) -> int:
    return weight_bytes(part.parameters, PRECISIONS[precision])


def _smallest(part: Part) -> str:
    return min(CHOICES, key=lambda precision: _bytes(part, precision))


def _least(part: Part) -> int:
    return _bytes(part, _smallest(part))


def _check(parts: Sequence[Part], budget_bytes: int) -> None:
    if not parts:
        raise refuse("There are no parts to choose for", "parts", "at least one layer")
    positive(budget_bytes, "budget")


def _plan(method: str, parts: Sequence[Part], chosen: Sequence[str], budget: int, table: Damage | None) -> MixedPlan:
    choices = tuple(
        Choice(part=part.name, precision=name, parameters=part.parameters, bytes=_bytes(part, name))
        for part, name in zip(parts, chosen, strict=True)
    )
    size = sum(choice.bytes for choice in choices)
    return MixedPlan(
        method=method,
        choices=choices,
        bytes=size,
        budget_bytes=budget,
        fits=size <= budget,
        damage=None if table is None else sum(table[choice.part][choice.precision] for choice in choices),
        smallest_bytes=sum(map(_least, parts)),
    )
