"""What changes from one policy to another: a context for each pair of decisions that occurs, or the proof of none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from policies.analysis.formulas import FALSE, TRUE
from policies.analysis.outline import Outline, outlines
from policies.analysis.proofs import bad_value
from policies.analysis.report import Change, Facts
from policies.analysis.solver import Budget
from policies.analysis.space import Found, Space, Unsure
from policies.decide import Policy
from policies.decision import ON_ERROR_RULE_ID, Decision
from policies.document import Outcome
from policies.modes import Mode

_MAX_BREACHES: Final = 6
"""An outcome whose steps depend on more different breaches is not looked into."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the facts of a region, and what the guard leaves of the outcome there; None: that is not looked into."""

    wanted: tuple[int, ...]
    done: Any


@dataclass(frozen=True, slots=True)
class _Region:
    """The facts for which one rule, the default, or onError for the failure of one rule, decides.

    own: the formula of the rule itself. passed: those of the rules before it. forbidden: the contraries of all.
    """

    rule_id: str
    own: int
    passed: tuple[int, ...]
    forbidden: frozenset[int]
    parts: tuple[_Part, ...]


def difference(old: Policy, new: Policy) -> tuple[Change, ...]:
    """One change for each pair of different decisions that some facts lead to; empty when there is none, proved.

    Decisions differ by what they make a runner do, not by rule or reason. A change without facts says that it is not
    known whether two rules differ somewhere. For bad facts only the ways into onError are compared.
    """
    space, (before, after) = outlines([old, new], Budget())
    return _Differences(space, before, after).all()


class _Differences:
    """seen: the changes found, by what is done before and after."""

    def __init__(self, space: Space, before: Outline, after: Outline) -> None:
        self._space = space
        self._before, self._after = before, after
        self._seen: dict[tuple[Any, Any], Change] = {}
        self._unsure: dict[tuple[str, str, Any, Any], str] = {}

    def all(self) -> tuple[Change, ...]:
        theirs = list(_regions(self._after))
        for ours in _regions(self._before):
            for other in theirs:
                if other.forbidden.isdisjoint((ours.own, *ours.passed)):
                    self._compare(ours, other)
        self._compare_bad_facts()
        unknown = {
            (old_rule, new_rule): Change(old_rule, new_rule, reason=reason)
            for (old_rule, new_rule, *pair), reason in self._unsure.items()
            if tuple(pair) not in self._seen
        }
        return (*self._seen.values(), *unknown.values())

    def _compare(self, ours: _Region, other: _Region) -> None:
        pairs = [each for each in product(ours.parts, other.parts) if self._is_open(*each)]
        if not pairs or self._space.possible(ours.own, other.own) is False:
            return
        for part, counterpart in pairs:
            quick = (ours.own, other.own, *part.wanted, *counterpart.wanted)
            if self._is_open(part, counterpart) and self._space.possible(*quick) is not False:
                self._search(ours, other, part, counterpart)

    def _is_open(self, part: _Part, other: _Part) -> bool:
        """They may differ, in a way that has not been seen."""
        if part.done is None or other.done is None:
            return True
        return bool(part.done != other.done) and (part.done, other.done) not in self._seen

    def _search(self, ours: _Region, other: _Region, part: _Part, counterpart: _Part) -> None:
        wanted = [ours.own, other.own, *part.wanted, *counterpart.wanted, *ours.passed, *other.passed]
        answer = self._space.find(wanted, lambda facts: self._differ(facts, ours, other))
        if isinstance(answer, Found):
            self._note(answer.facts)
        if isinstance(answer, Unsure):
            self._unsure[ours.rule_id, other.rule_id, part.done, counterpart.done] = answer.reason

    def _differ(self, facts: Facts, ours: _Region, other: _Region) -> bool:
        old, new = self._before.policy.decide(facts), self._after.policy.decide(facts)
        return old.rule_id == ours.rule_id and new.rule_id == other.rule_id and _done(old) != _done(new)

    def _note(self, facts: Facts) -> None:
        old, new = self._before.policy.decide(facts), self._after.policy.decide(facts)
        if _done(old) != _done(new):
            self._seen.setdefault((_done(old), _done(new)), Change(old.rule_id, new.rule_id, facts, old, new))

    def _compare_bad_facts(self) -> None:
        """Facts that both judge, and facts that one of them judges alone, each bad once in the usual world."""
        ours, theirs = frozenset(self._before.inputs), frozenset(self._after.inputs)
        usual = self._space.usual_facts()
        for names in (ours & theirs, ours - theirs, theirs - ours):
            if names:
                name = min(names)
                self._note({**usual, name: bad_value(name)})


def _done(decided: Decision | Outcome) -> Any:
    """What a runner does for it."""
    return (decided.mode, decided.fallback, decided.timeouts, decided.terms)


def _regions(outline: Outline) -> Iterator[_Region]:
    on_error = _parts(outline, outline.policy.document.on_error)
    for place, outcome in enumerate(outline.outcomes):
        own = outline.rules[place].yes if place < len(outline.rules) else TRUE
        yield _region(outline, outline.names[place], place, own, _parts(outline, outcome))
        if outline.failure(place) != FALSE:
            yield _region(outline, ON_ERROR_RULE_ID, place, outline.failure(place), on_error)


def _region(outline: Outline, rule_id: str, place: int, own: int, parts: tuple[_Part, ...]) -> _Region:
    passed = tuple(dict.fromkeys(outline.passed(place)))
    forbidden = frozenset(map(outline.space.formulas.negated, (own, *passed)))
    return _Region(rule_id, own, passed, forbidden, parts)


def _parts(outline: Outline, outcome: Outcome) -> tuple[_Part, ...]:
    """What the guard leaves of an outcome, by which steps break an invariant."""
    steps = tuple(dict.fromkeys(outcome.steps))
    breaches = {step: outline.broken(step) for step in (*steps, Mode.EDGE)}
    conditions = sorted({*breaches.values(), outline.at_home} - {TRUE, FALSE})
    if all(breaches[step] == FALSE for step in steps):
        return (_Part((), _done(outcome)),)
    if len(conditions) > _MAX_BREACHES:
        return (_Part((), None),)
    negated = outline.space.formulas.negated
    by_result: dict[Any, list[int]] = {}
    for held in product((True, False), repeat=len(conditions)):
        worth = {TRUE: True, FALSE: False} | dict(zip(conditions, held, strict=True))
        final = _held_back(outcome, {step: worth[each] for step, each in breaches.items()}, worth[outline.at_home])
        when = [formula if worth[formula] else negated(formula) for formula in conditions]
        by_result.setdefault(_done(final), []).append(outline.space.formulas.every(when))
    return tuple(_Part((outline.space.formulas.some(when),), done) for done, when in by_result.items())


def _held_back(outcome: Outcome, broken: dict[Mode, bool], at_home: bool) -> Outcome:
    """What the guard makes of an outcome; see `Policy._clamped`."""
    mode, fallback = outcome.mode, tuple(step for step in outcome.fallback if not broken[step])
    if broken[mode]:
        mode, fallback = (Mode.EDGE if at_home and not broken[Mode.EDGE] else Mode.REFUSE), ()
    return replace(outcome, mode=mode, fallback=fallback, terms=outcome.terms.kept_for(fallback))
