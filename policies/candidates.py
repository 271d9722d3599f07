"""Which other values of a fact are worth trying: those around what the policy compares it with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.facts import FactSpec, FactType
from policies.language import typed
from policies.language.compile import inputs_of
from policies.language.declarations import InputError, read_input, value_of
from policies.language.evaluate import Evaluator
from policies.language.typed import Typed
from policies.language.values import Duration, EvaluationError, Uint

MAX_CANDIDATES: Final = 64
"""Values of one fact that are tried at most, the nearest ones."""
_MAX_WORDS: Final = 8
_NANOSECONDS: Final = 1_000_000_000
_FRESH: Final = "other"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another value of a fact, and how many of the fact's steps away it is."""

    value: Any
    distance: float


def candidates(fact: FactSpec, now: Any, met: Sequence[Any]) -> list[Candidate]:
    """Values worth trying, nearest first. now: the fact's value, None when absent. met: what it is compared with."""
    proper = (value_of(fact.language_type, value) for value in _values(fact, now, met))
    tried = [Candidate(value, _distance(fact, value, now, met)) for value in proper if value is not None]
    out: list[Candidate] = []
    for each in sorted(tried, key=lambda each: each.distance):
        if each.value != now and (not out or each.value != out[-1].value):
            out.append(each)
    return out[:MAX_CANDIDATES]


def _values(fact: FactSpec, now: Any, met: Sequence[Any]) -> Iterable[Any]:
    usual = [] if now is not None or fact.typical is None else [fact.typical]
    words = sorted({value for value in met if isinstance(value, str)})
    match fact.type:
        case FactType.BOOL:
            return (False, True)
        case FactType.ENUM:
            return fact.enum
        case FactType.STRING:
            return [*words, _fresh(words), "", *usual]
        case FactType.INT | FactType.DOUBLE:
            return [*_around(fact, met), *usual]
        case FactType.DURATION:
            return [*_around_durations(fact, met), *usual]
        case FactType.TEXTS:
            return [*_lists(now or [], words), *usual]
        case FactType.TEXT_MAP:
            return [*_maps(now or {}, words), *usual]


def _fresh(words: Sequence[str]) -> str:
    """A word that the policy does not know."""
    word = _FRESH
    while word in words:
        word += "-"
    return word


def _around(fact: FactSpec, met: Sequence[Any]) -> list[Any]:
    """Each number and one step to either side of it, ascending."""
    numbers = [value for value in met if type(value) in (int, float, Uint) and math.isfinite(value)]
    if fact.type is FactType.INT:
        whole, step = [int(number) for number in numbers], max(1, int(fact.step))
        return sorted({near for number in whole for near in (number - step, number, number + step)})
    near = (float(number) + move for number in numbers for move in (-fact.step, 0.0, fact.step))
    return sorted({round(value, 9) for value in near})


def _around_durations(fact: FactSpec, met: Sequence[Any]) -> list[Duration]:
    step = int(fact.step * _NANOSECONDS)
    spans = {value for value in met if isinstance(value, Duration)}
    return sorted(Duration(near) for span in spans for near in (span - step, span, span + step))


def _lists(now: Sequence[str], words: Sequence[str]) -> Iterator[list[str]]:
    """The list with one word more, with one less, with one word alone, and empty."""
    for word in words:
        if word not in now:
            yield [*now, word]
    for place in range(len(now)):
        yield [*now[:place], *now[place + 1 :]]
    yield from ([word] for word in words)
    yield []


def _maps(now: Mapping[str, str], words: Sequence[str]) -> Iterator[dict[str, str]]:
    """The map with one entry more or other, with one less, and empty."""
    few = words[:_MAX_WORDS]
    yield from ({**now, key: value} for key in few for value in [*few, _fresh(few)])
    yield from ({key: value for key, value in now.items() if key != gone} for gone in now)
    yield {}


def _distance(fact: FactSpec, value: Any, now: Any, met: Sequence[Any]) -> float:
    """How many steps from `now`; to appear is one step, from the fact's usual value on."""
    if now is None:
        usual = fact.typical if fact.typical is not None else value
        return 1.0 + _distance(fact, value, value_of(fact.language_type, usual), met)
    match fact.type:
        case FactType.INT | FactType.DOUBLE:
            return abs(float(value) - float(now)) / fact.step
        case FactType.DURATION:
            return float(abs(int(value) - int(now)) / (fact.step * _NANOSECONDS))
        case FactType.ENUM if fact.ordered:
            return float(abs(fact.enum.index(value) - fact.enum.index(now)))
        case FactType.STRING:
            return 1.0 if value in met or value == now else 2.0
        case FactType.TEXTS:
            return float(1 + abs(len(value) - len(now)))
        case FactType.TEXT_MAP:
            return float(len(dict(value.items() ^ now.items())))
        case _:
            return 1.0


# ── what facts are compared with ────────────────────────────────────────────────────────────────────────────────────


def constants_met(
    trees: Sequence[Typed], variables: Sequence[Typed], facts: Mapping[str, Any]
) -> dict[str, tuple[Any, ...]]:
    """The values that each fact meets in comparisons and calls, directly or by a variable, by the fact's name.

    A fact that is compared with other facts meets their values.
    """
    out: dict[str, dict[tuple[type, Any], Any]] = {}
    for tree in trees:
        for node in typed.walk(tree):
            if isinstance(node, typed.Compare | typed.Apply):
                _note_met(node, variables, facts, out)
    return {name: tuple(values.values()) for name, values in out.items()}


def _note_met(
    node: Typed, variables: Sequence[Typed], facts: Mapping[str, Any], out: dict[str, dict[tuple[type, Any], Any]]
) -> None:
    sources = inputs_of([node], variables)
    if not sources:
        return
    constants = list(_constants(node))
    for source in sources:
        met = out.setdefault(source.name, {})
        met.update(((type(value), value), value) for value in constants)
        for other in sources:
            value = _now(facts, other) if other is not source else None
            if isinstance(value, int | float | str):
                met[type(value), value] = value


def _now(facts: Mapping[str, Any], source: Any) -> Any:
    try:
        return read_input(facts, source)
    except InputError:
        return None


def _constants(node: Typed) -> Iterator[Any]:
    """The constants in `node`, and what calls of constants alone are worth."""
    for each in typed.walk(node):
        if isinstance(each, typed.Const) and each.value is not None:
            yield each.value
        if isinstance(each, typed.Apply) and all(isinstance(arg, typed.Const) for arg in each.args):
            value = _worth(each)
            if isinstance(value, int | float | str):
                yield value


def _worth(node: typed.Apply) -> Any:
    try:
        return Evaluator({}).value(node)
    except EvaluationError:
        return None
