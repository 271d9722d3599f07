"""Deciding: first match wins, errors are told, invariants hold whatever a rule says."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from policies import Decision, Mode, Policy, PolicyError, Timeouts, typical_facts
from policies.facts import INPUTS
from policies.invariants import PRIVACY
from policies.language import typed
from policies.language.compile import inputs_of
from policies.language.evaluate import choose_naively
from policies.language.library.buckets import bucket
from policies.library import seed_text
from tests.policies.documents import problem, when, with_rules

HARMLESS = typical_facts({})
PRIVATE = typical_facts({"request.sensitivity": "personal", "request.origin": "device"})


def decide(text: str, facts: Any) -> Decision:
    """The decision of a document."""
    return Policy.load(text).decide(facts)


def test_the_first_match_wins() -> None:
    text = with_rules([("false", "refuse"), ("request.complexity < 0.5", "edge"), ("true", "cloud")])
    assert decide(text, typical_facts({"request.complexity": 0.4})).rule_id == "r1"
    assert decide(text, HARMLESS).rule_id == "r2"


def test_no_match_is_the_default() -> None:
    decision = decide(with_rules([("false", "edge")]), HARMLESS)
    assert (decision.rule_id, decision.mode, decision.errors) == ("default", "race", ())


def test_a_decision_tells_which_policy_made_it() -> None:
    policy = Policy.load(seed_text())
    decision = policy.decide(HARMLESS)
    assert (decision.policy_name, decision.policy_digest) == ("seed", policy.digest)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        None,
        [],
        "text",
        7,
        {"request.sensitivity": 3},
        {"request.sensitivity": "persnal"},
        {**HARMLESS, "request.complexity": float("nan")},
        {**HARMLESS, "request.complexity": "high"},
        {**HARMLESS, "request.complexity": 10**400},
    ],
)
def test_facts_without_sense_are_an_error_not_a_miss(facts: Any) -> None:
    decision = decide(with_rules([("request.complexity < 0.5 && request.sensitivity < 'secret'", "cloud")]), facts)
    assert decision.rule_id == "onError" and decision.errors


def test_a_bad_fact_is_an_error_whatever_rule_would_match() -> None:
    text = with_rules([("true", "edge"), ("request.complexity < 0.5", "cloud")])
    assert decide(text, {**HARMLESS, "request.complexity": "high"}).rule_id == "onError"


def test_facts_that_no_rule_reads_do_not_matter() -> None:
    assert decide(with_rules([("true", "edge")]), {**HARMLESS, "device.rtt_ms": "slow", "x": 1}).rule_id == "r0"


def test_whole_numbers_are_welcome_as_doubles() -> None:
    assert (
        when("device.battery_pct.orValue(100.0) < 20.5").decide({**HARMLESS, "device.battery_pct": 20}).mode == "cloud"
    )


@pytest.mark.parametrize("mode", ["cloud", "prefer-edge", "prefer-cloud", "race"])
@pytest.mark.parametrize("part", ["rule", "default", "onError"])
def test_private_text_stays_on_its_device(mode: str, part: str) -> None:
    outcome: dict[str, Any] = {"mode": mode}
    changed: dict[str, dict[str, Any]] = {
        "rule": {"rules": [{"id": "a", "when": "true", "decide": outcome}]},
        "default": {"default": outcome},
        "onError": {"onError": outcome, "rules": [{"id": "a", "when": "1 / 0 == 1", "decide": {"mode": "edge"}}]},
    }
    policy = Policy.load(with_rules([], **changed[part]))
    decision = policy.decide(PRIVATE)
    assert (decision.mode, decision.fallback, decision.clamped_by) == ("edge", (), (PRIVACY,))
    assert PRIVACY in decision.errors[-1] and PRIVACY in decision.reason
    without_device = {**PRIVATE, "device.present": False}
    assert policy.decide(without_device).mode == "refuse"
    assert policy.decide({**PRIVATE, "request.sensitivity": "secret"}).mode == "edge"
    assert policy.decide({**PRIVATE, "request.sensitivity": "internal"}).mode == mode
    assert policy.decide({**PRIVATE, "request.origin": "control_plane"}).mode == mode


@pytest.mark.parametrize("name", ["request.sensitivity", "request.origin"])
@pytest.mark.parametrize("bad", [None, 3, "none"])
def test_what_is_not_known_to_be_harmless_is_private(name: str, bad: Any) -> None:
    assert decide(with_rules([("true", "cloud")]), {**PRIVATE, name: bad}).mode == "edge"


def test_a_fallback_that_breaks_an_invariant_is_taken_away() -> None:
    rule = {"id": "a", "when": "true", "decide": {"mode": "edge", "fallback": ["cloud", "refuse"]}}
    decision = decide(with_rules([], rules=[rule]), PRIVATE)
    assert (decision.mode, decision.fallback) == ("edge", ("refuse",))
    assert decision.clamped_by == (PRIVACY,) and decision.reason == "rule a"


@pytest.mark.parametrize(
    ("invariant", "mode"),
    [
        ({"never": "decision.mode == 'cloud'"}, "edge"),
        ({"always": "decision.mode in ['edge', 'refuse']"}, "edge"),
        ({"never": "decision.leaves_device && request.tenant == 'acme'"}, "edge"),
        ({"never": "decision.mode != 'refuse'"}, "refuse"),
        ({"never": "variables.acme && decision.mode != 'refuse'"}, "refuse"),
        ({"never": "request.tenant == 'other' && decision.leaves_device"}, "cloud"),
        ({"never": "1 / request.turns == 1 && decision.leaves_device"}, "edge"),
        ({"never": "1 / (request.turns - 1) == 1 && decision.leaves_device"}, "edge"),
    ],
)
def test_declared_invariants(invariant: dict[str, str], mode: str) -> None:
    variables = [{"name": "acme", "expr": "request.tenant == 'acme'"}]
    text = with_rules([("true", "cloud")], invariants=[{"name": "mine", **invariant}], variables=variables)
    decision = decide(text, HARMLESS)
    assert decision.mode == mode
    assert decision.clamped_by == (() if mode == "cloud" else ("mine",))


def test_a_document_whose_tests_break_an_invariant_is_refused() -> None:
    test = {"name": "t", "given": {"request.tenant": "x"}, "expect": {"rule": "r0"}}
    invariant = {"name": "mine", "never": "request.tenant == 'x' && decision.leaves_device"}
    with pytest.raises(PolicyError, match="r0 breaks the invariant mine with cloud"):
        Policy.load_for_activation(with_rules([("true", "cloud")], tests=[test], invariants=[invariant]))
    with pytest.raises(PolicyError, match="onError breaks the invariant mine with cloud"):
        text = with_rules([("true", "edge")], tests=[test], invariants=[invariant], onError={"mode": "cloud"})
        Policy.load_for_activation(text)


@pytest.mark.parametrize(
    ("expect", "passed"),
    [
        ({"rule": "r0"}, True),
        ({"rule": "default"}, False),
        ({"mode": "prefer-edge", "fallback": "cloud", "reason": "rule r0"}, True),
        ({"fallback": []}, False),
        ({"reason": "else"}, False),
    ],
)
def test_documents_test_themselves(expect: dict[str, Any], passed: bool) -> None:
    policy = Policy.load(with_rules([("true", "prefer-edge")], tests=[{"name": "t", "expect": expect}]))
    outcome = policy.run_tests()[0]
    assert (outcome.name, outcome.passed, bool(outcome.detail)) == ("t", passed, not passed)


def test_a_failing_test_stops_activation_at_its_line() -> None:
    text = seed_text().replace("expect: {rule: sensitive, mode: edge, fallback: []}", "expect: {rule: hot}", 1)
    assert Policy.load(text)
    with pytest.raises(PolicyError) as caught:
        Policy.load_for_activation(text)
    (problem,) = caught.value.problems
    assert problem.code == "test-failed" and "rule should be hot and is sensitive" in problem.message
    assert text.splitlines()[problem.line - 1].strip() == "- name: personal text stays"


def test_decisions_travel() -> None:
    decision = Policy.load(seed_text()).explain(typical_facts({"device.rtt_ms": 600.0})).decision
    assert decision.flips and decision.timeouts == Timeouts()
    assert Decision.from_dict(decision.to_dict()) == decision == pickle.loads(pickle.dumps(decision))
    with pytest.raises(ValueError, match="sideways"):
        Decision.from_dict({**decision.to_dict(), "mode": Mode.EDGE.replace("edge", "sideways")})


# ── rollouts ────────────────────────────────────────────────────────────────────────────────────────────────────


def rolled_out(when: str = "true", **rollout: Any) -> str:
    """A document whose rule r is for a share of the requests; all others get the default, a race."""
    rule = {"id": "r", "when": when, "rollout": rollout, "decide": {"mode": "cloud"}}
    return with_rules([], rules=[rule])


def chosen(text: str, keys: range, fact: str = "device.id") -> set[int]:
    """The keys that rule r is for."""
    policy = Policy.load(text)
    return {key for key in keys if policy.decide({**HARMLESS, fact: f"device-{key}"}).rule_id == "r"}


def test_a_rollout_is_for_its_share_and_always_the_same() -> None:
    few, more = (chosen(rolled_out(percent=percent, by="device.id"), range(400)) for percent in (5, 25.5))
    assert few < more and 5 <= len(few) <= 40 and 70 <= len(more) <= 140
    assert more == {key for key in range(400) if bucket(f"device-{key}", "small/r") < 25.5}


def test_a_salt_deals_anew() -> None:
    ours, theirs = (chosen(rolled_out(percent=30, by="device.id", salt=salt), range(200)) for salt in ("a", "b"))
    assert ours != theirs
    assert ours == {key for key in range(200) if bucket(f"device-{key}", "a") < 30.0}


@pytest.mark.parametrize(
    ("percent", "when", "expected"),
    [(0, "true", "default"), (100, "true", "r"), (100, "false", "default"), (100, "request.turns == 1", "r")],
)
def test_a_rollout_holds_where_its_condition_does(percent: float, when: str, expected: str) -> None:
    assert decide(rolled_out(when, percent=percent, by="device.id"), HARMLESS).rule_id == expected


@pytest.mark.parametrize("fact", ["device.id", "request.tenant"])
@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_in_no_bucket(fact: str, key: str | None) -> None:
    decision = decide(rolled_out(percent=100, by=fact), {**HARMLESS, fact: key})
    assert (decision.rule_id, decision.errors) == ("default", ())


@pytest.mark.parametrize(("fact", "read"), [("device.id", typed.InputOr), ("request.tenant", typed.Input)])
def test_a_rollout_is_a_typed_tree_in_which_nothing_can_be_absent(fact: str, read: type) -> None:
    policy = Policy.load(rolled_out("request.turns == 1", percent=40, by=fact))
    (tree,) = policy.trees.rules
    assert [type(part) for part in typed.walk(tree) if getattr(part, "source", None) == INPUTS[fact]] == [read]
    needed = inputs_of([tree], ())
    for key in range(40):
        facts = {**HARMLESS, fact: f"key-{key}"}
        assert policy.decide(facts).rule_id == ("default", "r")[choose_naively([tree], (), needed, facts) == 0]


def test_a_key_of_a_wrong_type_is_an_error() -> None:
    assert decide(rolled_out(percent=100, by="device.id"), {**HARMLESS, "device.id": 7}).rule_id == "onError"


def test_explain_sees_the_key() -> None:
    explanation = Policy.load(rolled_out("request.turns == 1", percent=0, by="device.id")).explain(HARMLESS)
    (trace,) = explanation.rules
    assert trace.outcome == "not_matched" and trace.values["device.id"] == HARMLESS["device.id"]


@pytest.mark.parametrize("percent", [0.00001, 12.34567, 99.99999, 7, 100.0])
def test_percents_in_steps(percent: float) -> None:
    assert Policy.load(rolled_out(percent=percent, by="device.id")).document.rules[0].rollout is not None


@pytest.mark.parametrize(
    ("rollout", "code"),
    [
        ({"percent": 0.000001, "by": "device.id"}, "wrong-value"),
        ({"percent": 12.345678, "by": "device.id"}, "wrong-value"),
        ({"percent": 100.1, "by": "device.id"}, "out-of-bounds"),
        ({"percent": -1, "by": "device.id"}, "out-of-bounds"),
        ({"percent": "5%", "by": "device.id"}, "wrong-type"),
        ({"percent": 5, "by": "device.idd"}, "unknown-word"),
        ({"percent": 5, "by": "device.battery_pct"}, "unknown-word"),
        ({"percent": 5, "by": "request.task"}, "unknown-word"),
        ({"percent": 5}, "missing-key"),
        ({"by": "device.id"}, "missing-key"),
        ({"percent": 5, "by": "device.id", "salt": 3}, "wrong-type"),
        ({"percent": 5, "by": "device.id", "seed": "a"}, "unknown-key"),
    ],
)
def test_a_rollout_without_sense(rollout: dict[str, Any], code: str) -> None:
    found = problem(rolled_out(**rollout))
    assert (found.code, found.rule_id) == (code, "r")
