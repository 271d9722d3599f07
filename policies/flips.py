"""What would have flipped a decision: single changes of single facts, tried one by one. Slow; for explanations only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from policies import typed
from policies.compile import facts_of
from policies.decision import Decision, Flip
from policies.facts import FactSpec, FactType, FactValue
from policies.reading import FactError, read_fact
from policies.typed import Typed

_MAX_TRIES_PER_FACT: Final = 64


def find_flips(
    facts: Mapping[str, Any],
    decide: Callable[[Mapping[str, Any]], Decision],
    trees: Sequence[Typed],
    variables: Sequence[Typed],
) -> tuple[Flip, ...]:
    """The nearest change of each fact that leads to each other mode.

    trees: the conditions of rules and invariants; the facts they read are tried, around the constants they meet there.
    """
    actual = decide(facts)
    thresholds = _thresholds([*trees, *variables], variables)
    out: list[Flip] = []
    for fact in facts_of(trees, variables):
        out += _flips_of(fact, facts, decide, actual, thresholds.get(fact.name, ()))
    return tuple(out)


def _flips_of(
    fact: FactSpec,
    facts: Mapping[str, Any],
    decide: Callable[[Mapping[str, Any]], Decision],
    actual: Decision,
    thresholds: Iterable[FactValue],
) -> list[Flip]:
    try:
        now = read_fact(facts, fact)
    except FactError:
        now = None
    found: dict[str, Flip] = {}
    for value in _candidates(fact, now, thresholds):
        decision = decide({**facts, fact.name: value})
        if decision.mode != actual.mode and not decision.errors:
            found.setdefault(decision.mode, Flip(fact.name, now, value, decision.mode, decision.rule_id))
    return list(found.values())


def _candidates(fact: FactSpec, now: FactValue | None, thresholds: Iterable[FactValue]) -> list[FactValue | None]:
    """Values worth trying, nearest to `now` first, absence last."""
    values = _around(fact, thresholds) if fact.type in (FactType.INT, FactType.DOUBLE) else _words(fact, thresholds)
    out: list[FactValue | None] = []
    out += sorted((value for value in values if value != now), key=lambda value: _distance(value, now))
    del out[_MAX_TRIES_PER_FACT:]
    return [*out, None] if fact.optional and now is not None else out


def _words(fact: FactSpec, thresholds: Iterable[FactValue]) -> Iterable[FactValue]:
    if fact.type is FactType.BOOL:
        return (False, True)
    return fact.enum or sorted({value for value in thresholds if isinstance(value, str)})


def _around(fact: FactSpec, thresholds: Iterable[FactValue]) -> set[FactValue]:
    """Each threshold and one step to either side of it."""
    numbers = [value for value in thresholds if isinstance(value, int | float) and not isinstance(value, bool)]
    out: set[FactValue] = set()
    for number in numbers:
        for value in (number - fact.step, number, number + fact.step):
            out.add(int(value) if fact.type is FactType.INT else round(float(value), 9))
    return out


def _distance(value: FactValue | None, now: FactValue | None) -> float:
    if value is None or isinstance(value, str) or isinstance(now, str):
        return 0.0
    return abs(value - (now or 0))


def _thresholds(trees: Sequence[Typed], variables: Sequence[Typed]) -> dict[str, set[FactValue]]:
    """The constants that each fact meets in comparisons and calls, directly or by a variable, by the fact's name."""
    out: dict[str, set[FactValue]] = {}
    for tree in trees:
        for node in typed.walk(tree):
            if isinstance(node, typed.Compare | typed.Apply):
                for fact in facts_of([node], variables):
                    out.setdefault(fact.name, set()).update(_constants(node))
    return out


def _constants(node: Typed) -> set[FactValue]:
    return {n.value for n in typed.walk(node) if isinstance(n, typed.Const) and n.value is not None}
