"""Invariants: proved for all facts, or refuted by some, against what is decided before the guard corrects it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from policies.analysis.formulas import FALSE
from policies.analysis.outline import Outline, outlines
from policies.analysis.report import Facts, Proof, Proved, Refuted, Unknown
from policies.analysis.solver import Budget
from policies.analysis.space import Found, Unsure
from policies.decide import Policy
from policies.decision import ON_ERROR_RULE_ID
from policies.facts import INPUTS
from policies.language.types import STRING
from policies.modes import Mode


def prove(policy: Policy, invariant: str) -> Proof:
    """Whether rules, default and onError keep one invariant, by its name. Raises KeyError when there is none.

    The built-in one is `policies.invariants.PRIVACY`.
    """
    if invariant not in (each.name for each in policy.trees.invariants):
        raise KeyError(invariant)
    return proof_of(outlines([policy], Budget())[1][0], invariant)


def proof_of(outline: Outline, invariant: str) -> Proof:
    """As `prove`, for a policy that has been read."""
    unsure = ""
    for result in _attempts(outline, invariant):
        if isinstance(result, Refuted):
            return result
        unsure = unsure or result
    return Unknown(invariant, unsure) if unsure else Proved(invariant)


def _attempts(outline: Outline, invariant: str) -> Iterator[Refuted | str]:
    """A refutation, or why it is not known, for each step of each outcome; nothing for those that surely keep it."""
    for place, outcome in enumerate(outline.outcomes):
        for step in dict.fromkeys(outcome.steps):
            breaks = outline.breaks(invariant, step)
            if breaks != FALSE:
                wanted = [breaks, *outline.decides(place)]
                yield from _attempt(outline, invariant, step, outline.names[place], wanted)
    for step in dict.fromkeys(outline.policy.document.on_error.steps):
        if outline.breaks(invariant, step) != FALSE:
            yield from _by_failures(outline, invariant, step)
            yield from _by_bad_facts(outline, invariant, step)


def _by_failures(outline: Outline, invariant: str, step: Mode) -> Iterator[Refuted | str]:
    """A rule that fails leads to onError."""
    for place in range(len(outline.rules)):
        failure = outline.failure(place)
        if failure != FALSE:
            wanted = [failure, outline.breaks(invariant, step), *outline.passed(place)]
            yield from _attempt(outline, invariant, step, ON_ERROR_RULE_ID, wanted)


def _by_bad_facts(outline: Outline, invariant: str, step: Mode) -> Iterator[Refuted | str]:
    """A bad fact leads to onError, whatever the others are; best one that the invariant does not need itself."""
    if not outline.inputs:
        return
    breaking = outline.space.find([outline.breaks(invariant, step)], lambda _: True)
    if isinstance(breaking, Unsure):
        yield breaking.reason
    if isinstance(breaking, Found):
        accept = _accepting(outline.policy, invariant, ON_ERROR_RULE_ID)
        worlds = [dict(breaking.facts) | {name: bad_value(name)} for name in outline.inputs]
        found = next((facts for facts in worlds if accept(facts)), None)
        reason = "no facts were found for a bad fact beside an expression outside of the core"
        yield reason if found is None else Refuted(invariant, ON_ERROR_RULE_ID, step, found)


def bad_value(name: str) -> Any:
    """What can be no value of a fact."""
    return 0 if name in INPUTS and INPUTS[name].type == STRING else "?"


def _attempt(outline: Outline, invariant: str, step: Mode, rule_id: str, wanted: list[int]) -> Iterator[Refuted | str]:
    answer = outline.space.find(wanted, _accepting(outline.policy, invariant, rule_id))
    if isinstance(answer, Found):
        yield Refuted(invariant, rule_id, step, answer.facts)
    if isinstance(answer, Unsure):
        yield answer.reason


def _accepting(policy: Policy, invariant: str, rule_id: str) -> Callable[[Facts], bool]:
    """Whether the rule decides, and the guard holds the decision back for the sake of the invariant."""

    def accept(facts: Facts) -> bool:
        decision = policy.decide(facts)
        return decision.rule_id == rule_id and invariant in decision.clamped_by

    return accept
