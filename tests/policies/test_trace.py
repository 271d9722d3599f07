"""Traces: the same decision as without, every clause with its value, errors kept by the clause that made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings

from policies import Policy, PolicyError, Trace, typical_facts
from policies.trace import RuleTrace
from tests.policies.documents import with_rules
from tests.policies.strategies import sound_facts, unsound_facts
from tests.policies.test_equivalence import policies_

TWO = "request.needs_fresh && (request.turns > 3 || !device.present)"
FALLIBLE = "1 / request.turns == 5 || request.needs_fresh"


def rules_of(text: str, given: Mapping[str, Any]) -> tuple[RuleTrace, ...]:
    """The traces of a document's rules for the typical facts, changed."""
    policy = Policy.load(text)
    trace = policy.decide_traced(typical_facts(given))[1]
    assert (trace.place is None) is (policy.decide(typical_facts(given)).rule_id == "onError"), (
        "the compiled form failed"
    )
    return trace.rules()


def clauses(rule: RuleTrace) -> list[tuple[str, bool | None]]:
    """Text and value of the clauses that were looked at."""
    return [(clause.text, clause.value) for clause in rule.clauses if clause.looked_at]


@pytest.mark.parametrize(
    ("condition", "given", "seen"),
    [
        (TWO, {}, [("request.needs_fresh", False)]),
        (
            TWO,
            {"request.needs_fresh": True, "request.turns": 4},
            [("request.needs_fresh", True), ("request.turns > 3", True)],
        ),
        (
            TWO,
            {"request.needs_fresh": True},
            [("request.needs_fresh", True), ("request.turns > 3", False), ("device.present", True)],
        ),
        (FALLIBLE, {}, [("1 / request.turns == 5", False), ("request.needs_fresh", False)]),
        (f"({FALLIBLE}) && device.present", {"request.needs_fresh": True, "request.turns": 1}, None),
        ("!(request.turns > 3)", {}, [("request.turns > 3", False)]),
    ],
)
def test_clauses_that_were_looked_at(condition: str, given: dict[str, Any], seen: list[Any] | None) -> None:
    (rule,) = rules_of(with_rules([(condition, "edge")]), given)
    expected = seen or [("1 / request.turns == 5", False), ("request.needs_fresh", True), ("device.present", True)]
    assert clauses(rule) == expected


def test_a_clause_tells_the_facts_it_read() -> None:
    variables = [{"name": "slow", "expr": "device.rtt_ms.orValue(0.0) > 10.0"}]
    text = with_rules(
        [("variables.slow && request.turns == 2", "edge"), ("variables.slow", "cloud")], variables=variables
    )
    first, second = rules_of(text, {"device.rtt_ms": None, "request.turns": 2})
    assert [dict(clause.facts) for clause in first.clauses] == [{"device.rtt_ms": None}, {}]
    assert first.values == second.values == {"device.rtt_ms": None}, "a variable read again tells its facts again"


def test_rules_after_the_one_that_held_were_not_reached() -> None:
    rules = rules_of(with_rules([("false", "edge"), ("true", "cloud"), ("request.turns > 0", "edge")]), {})
    assert [rule.outcome for rule in rules] == ["not_matched", "matched", "not_reached"]
    assert clauses(rules[2]) == [] and rules[2].values == {}


def test_an_error_stays_with_its_clause() -> None:
    text = with_rules([("request.turns > 5 || 1 / request.turns == 5", "edge"), ("true", "cloud")])
    policy = Policy.load(text)
    decision, trace = policy.decide_traced(typical_facts({"request.turns": 0}))
    first, second = trace.rules()
    assert decision.errors == (trace.error,) and decision.rule_id == "onError"
    assert (first.outcome, second.outcome) == ("error", "not_reached")
    fine, failed = first.clauses
    assert (fine.value, fine.error) == (False, "")
    assert (failed.value, failed.error, dict(failed.facts)) == (None, trace.error, {"request.turns": 0})


def test_an_error_that_gave_way_is_told_too() -> None:
    (rule,) = rules_of(with_rules([("1 / request.turns == 5 || device.present", "edge")]), {"request.turns": 0})
    assert rule.outcome == "matched" and clauses(rule)[1] == ("device.present", True)
    assert "zero" in rule.clauses[0].error and rule.clauses[0].looked_at


def test_a_bad_fact_is_told_where_it_is_read() -> None:
    text = with_rules([("device.present", "edge"), ("device.present && request.turns > 1", "cloud")])
    rules = rules_of(text, {"request.turns": "many"})
    assert [rule.outcome for rule in rules] == ["not_reached", "error"]
    assert [bool(clause.error) for clause in rules[1].clauses] == [False, True]


def test_a_rollout_is_a_clause() -> None:
    rollout = {"percent": 0, "by": "request.tenant"}
    rule = {"id": "half", "when": "device.present", "decide": {"mode": "edge"}, "rollout": rollout}
    (told,) = rules_of(with_rules([], rules=[rule]), {})
    shown, dealt = told.clauses
    assert shown.text == "device.present" and dealt.text.startswith("bucket(request.tenant") and dealt.value is False


def test_a_trace_keeps_the_facts_as_they_were() -> None:
    policy = Policy.load(with_rules([("request.turns > 1", "edge")]))
    facts = typical_facts({"request.turns": 3})
    trace = policy.decide_traced(facts)[1]
    facts["request.turns"] = 0
    assert trace.rules()[0].values == {"request.turns": 3}


def test_nothing_is_compiled_before_it_is_used() -> None:
    policy = Policy.load(with_rules([("true", "edge")]))
    policy.decide(typical_facts({}))
    assert "tracer" not in vars(policy)
    assert policy.tracer is policy.tracer


@pytest.mark.parametrize("facts", [None, 7, [], {}, {1: 2}])
def test_what_are_no_facts(facts: Any) -> None:
    policy = Policy.load(with_rules([("request.turns > 1 && request.sensitivity == 'secret'", "edge")]))
    decision, trace = policy.decide_traced(facts)
    assert decision == policy.decide(facts) and decision.errors
    assert trace.rules()[0].outcome == "error"


def test_a_thousand_rules_take_a_thousand_steps() -> None:
    size = {at: len(_code_of(at)) for at in (50, 200)}
    assert size[200] < 5 * size[50]


def _code_of(rules: int) -> bytes:
    traced = Policy.load(
        with_rules([(f"request.turns > {at} && device.present", "edge") for at in range(rules)])
    ).tracer
    return traced.choose.__code__.co_code


@settings(max_examples=40, deadline=None)
@given(policies_, sound_facts | unsound_facts)
def test_traced_decides_as_decide_does(text: str, facts: dict[str, Any]) -> None:
    policy = loaded(text)
    decision, trace = policy.decide_traced(facts)
    assert decision == policy.decide(facts)
    assert [rule.rule_id for rule in trace.rules()] == [rule.id for rule in policy.document.rules]
    if trace.place is not None:
        walked = Trace(policy.tracer, facts, None, ()).rules()
        assert walked == trace.rules(), "the compiled form notes what the readable evaluator sees"


def loaded(text: str) -> Policy:
    """A random policy, unless it is one of those that are too costly."""
    try:
        return Policy.load(text)
    except PolicyError as error:
        assume({problem.code for problem in error.problems} != {"too-costly"})
        raise
