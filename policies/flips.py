"""What would have flipped a decision: single facts changed one by one, else the nearest pair. For explanations only.

Which values of a fact are worth trying is known in `candidates`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.candidates import Candidate, candidates, constants_met
from policies.decision import Change, Decision, Flip
from policies.facts import FACTS, FactSpec
from policies.language.compile import inputs_of
from policies.language.declarations import InputError, read_input
from policies.language.typed import Typed

MAX_PAIRS: Final = 2000
"""Pairs that are tried at most."""
_PER_FACT_IN_PAIRS: Final = 12

Decide = Callable[[Mapping[str, Any]], Decision]


@dataclass(frozen=True, slots=True)
class _Move:
    """One fact changed, and how many of the fact's steps away."""

    change: Change
    distance: float


def find_flips(
    facts: Mapping[str, Any],
    decide: Decide,
    trees: Sequence[Typed],
    variables: Sequence[Typed],
    table: Mapping[str, FactSpec] = FACTS,
) -> tuple[Flip, ...]:
    """The nearest change of each fact that leads to each other mode; where no single one does, the nearest pair.

    trees: the conditions of rules and invariants; the facts they read are tried, around the values they meet there.
    """
    search = _Search(facts, decide)
    met = constants_met([*trees, *variables], variables, facts)
    moves = [
        _moves(table[source.name], facts, met.get(source.name, ()))
        for source in inputs_of(trees, variables)
        if source.name in table
    ]
    single = [flip for each in moves for flip in search.singles(each)]
    return tuple(single) or tuple(search.nearest_pair([move for each in moves for move in _few(each)]))


class _Search:
    """Decides for changed facts, and compares with what was decided for the facts as they are."""

    def __init__(self, facts: Mapping[str, Any], decide: Decide) -> None:
        self._facts = facts
        self._decide = decide
        self._mode = decide(facts).mode

    def singles(self, moves: Sequence[_Move]) -> list[Flip]:
        """The nearest move of one fact to each other mode."""
        found: dict[str, Flip] = {}
        for move in moves:
            flip = self._flip(move.change)
            if flip is not None:
                found.setdefault(flip.mode, flip)
        return list(found.values())

    def nearest_pair(self, moves: Sequence[_Move]) -> list[Flip]:
        """The flip by the two moves that are the fewest steps in all, or none within MAX_PAIRS."""
        for _, (first, second) in zip(range(MAX_PAIRS), _pairs(moves), strict=False):
            flip = self._flip(first.change, second.change)
            if flip is not None:
                return [flip]
        return []

    def _flip(self, first: Change, *also: Change) -> Flip | None:
        changed = {change.fact: change.value for change in (first, *also)}
        decision = self._decide({**self._facts, **changed})
        if decision.mode == self._mode or decision.errors:
            return None
        return Flip(first.fact, first.actual, first.value, decision.mode, decision.rule_id, also)


def _moves(fact: FactSpec, facts: Mapping[str, Any], met: Sequence[Any]) -> list[_Move]:
    """The changes of one fact, nearest first, absence last."""
    try:
        now = read_input(facts, fact.declaration)
    except InputError:
        now = None
    tried: Sequence[Candidate] = candidates(fact, now, met)
    out = [_Move(Change(fact.name, now, each.value), each.distance) for each in tried]
    if fact.optional and now is not None:
        farthest = max((move.distance for move in out), default=0.0)
        out.append(_Move(Change(fact.name, now, None), farthest + 1.0))
    return out


def _few(moves: Sequence[_Move]) -> Sequence[_Move]:
    """The nearest moves of one fact and its last, which is absence where it may be absent."""
    return moves if len(moves) <= _PER_FACT_IN_PAIRS else [*moves[: _PER_FACT_IN_PAIRS - 1], moves[-1]]


def _pairs(moves: Sequence[_Move]) -> Iterator[tuple[_Move, _Move]]:
    """Moves of two facts, by the sum of their distances; the same order for the same moves."""
    ranked = sorted(moves, key=lambda move: move.distance)
    ahead = [(ranked[0].distance + ranked[1].distance, 0, 1)] if len(ranked) > 1 else []
    while ahead:
        _, left, right = heapq.heappop(ahead)
        if ranked[left].change.fact != ranked[right].change.fact:
            yield ranked[left], ranked[right]
        following = [(left, right + 1), *([(left + 1, left + 2)] if right == left + 1 else [])]
        for a, b in following:
            if b < len(ranked):
                heapq.heappush(ahead, (ranked[a].distance + ranked[b].distance, a, b))
