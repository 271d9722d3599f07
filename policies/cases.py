"""Running the tests that a document carries: does each lead where its author says, and does it keep the invariants?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from policies.decision import Decision, TestOutcome
from policies.document import Case, Outcome
from policies.facts import typical_facts
from policies.invariants import Guard
from policies.problems import Problem

Unclamped = Callable[[Mapping[str, Any]], Sequence[tuple[str, Outcome]]]


def run_case(
    case: Case, unclamped: Unclamped, decide: Callable[[Mapping[str, Any]], Decision], guard: Guard
) -> TestOutcome:
    """How one test went."""
    facts = typical_facts(case.given)
    decision = decide(facts)
    faults = [*_mismatches(case, decision), *_breaches(facts, unclamped(facts), guard)]
    return TestOutcome(case.name, not faults, "; ".join(faults), case.line, decision)


def _mismatches(case: Case, decision: Decision) -> list[str]:
    actual: dict[str, Any] = {
        **asdict(decision.timeouts),
        **asdict(decision.terms),
        "rule": decision.rule_id,
        "mode": decision.mode,
        "fallback": decision.fallback,
        "reason": decision.reason,
    }
    return [
        f"{key} should be {_shown(wanted)} and is {_shown(actual[key])}"
        for key, wanted in case.expect.items()
        if actual[key] != wanted
    ]


def _breaches(facts: Mapping[str, Any], outcomes: Sequence[tuple[str, Outcome]], guard: Guard) -> list[str]:
    return [
        f"{rule_id} breaks the invariant {name} with {step}"
        for rule_id, outcome in outcomes
        for step in outcome.steps
        for name in guard.broken(step, facts)
    ]


def _shown(value: Any) -> str:
    if value is None or value in ("", ()):
        return "nothing"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def case_problems(outcomes: Sequence[TestOutcome]) -> list[Problem]:
    """The failing tests as problems of the document."""
    return [
        Problem("test-failed", f"the test {outcome.name!r} fails: {outcome.detail}", outcome.line, 1)
        for outcome in outcomes
        if not outcome.passed
    ]
