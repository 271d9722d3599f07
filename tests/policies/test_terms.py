"""The terms of decisions: read, bounded, carried, told where nothing carries them out, and read back from records."""

from __future__ import annotations

from typing import Any

import pytest

from policies import Decision, Mode, Policy, Redaction, StepTerms, Terms, Timeouts, typical_facts
from policies.library import seed_text
from tests.policies.documents import problem, with_rules

FULL: dict[str, Any] = {
    "mode": "cloud",
    "fallback": [{"mode": "edge", "maxTokens": 128, "reason": "the cloud is away"}, "refuse"],
    "timeout": {"soft": "800ms", "firstToken": "2s", "total": "1m"},
    "models": {"edge": ">=2.1 <3", "cloud": "edgewise-large"},
    "redact": "personal",
    "pacing": {"tokensPerSecond": 25},
    "priority": -3,
    "budget": {"maxTokens": 512, "maxCost": 40_000},
    "reason": "in full",
}
TERMS = Terms(
    edge_model=">=2.1 <3",
    cloud_model="edgewise-large",
    redact=Redaction.PERSONAL,
    tokens_per_s=25.0,
    priority=-3,
    max_tokens=512,
    max_cost=40_000,
    fallback=(StepTerms(Mode.EDGE, 128, "the cloud is away"),),
)


def deciding(outcome: dict[str, Any], **spec: Any) -> str:
    """A document whose one rule decides this."""
    return with_rules([], rules=[{"id": "a", "when": "true", "decide": outcome}], **spec)


def test_a_decision_carries_all_terms() -> None:
    decision = Policy.load(deciding(FULL)).decide(typical_facts({}))
    assert (decision.mode, decision.fallback, decision.terms) == (Mode.CLOUD, (Mode.EDGE, Mode.REFUSE), TERMS)
    assert decision.timeouts == Timeouts(first_token_s=2.0, total_s=60.0, soft_s=0.8)


def test_nothing_said_is_no_term() -> None:
    decision = Policy.load(deciding({"mode": "cloud"})).decide(typical_facts({}))
    assert decision.terms == Terms() and decision.terms.to_dict() == {}
    assert decision.timeouts == Timeouts()


@pytest.mark.parametrize(
    ("term", "code", "expected"),
    [
        ({"models": {"edge": ">=two"}}, "wrong-value", "a range such as"),
        ({"models": {"edge": "two words"}}, "wrong-value", "a range such as"),
        ({"models": {"edge": 2}}, "wrong-type", "text"),
        ({"models": {"phone": "x"}}, "unknown-key", "edge, cloud"),
        ({"models": "large"}, "wrong-type", "edge, cloud"),
        ({"redact": "persnal"}, "unknown-word", "personal"),
        ({"escalate": {"below": 1.01}}, "out-of-bounds", "0 to 1"),
        ({"escalate": {"below": "low"}}, "wrong-type", "a number"),
        ({"pacing": {"tokensPerSecond": 0}}, "out-of-bounds", "0.1 to 1000"),
        ({"pacing": {"tokensPerSecond": True}}, "wrong-type", "a number"),
        ({"priority": 11}, "out-of-bounds", "-10 to 10"),
        ({"priority": 1.5}, "wrong-type", "a whole number"),
        ({"priority": True}, "wrong-type", "a whole number"),
        ({"budget": {"maxTokens": 0}}, "out-of-bounds", "1 to"),
        ({"budget": {"maxCost": -1}}, "out-of-bounds", "0 to"),
        ({"budget": {"maxCost": 10**39}}, "out-of-bounds", "0 to"),
        ({"timeout": {"soft": "3s", "total": "2s"}}, "out-of-bounds", "soft at most total"),
        ({"fallback": {"maxTokens": 3}}, "missing-key", ""),
        ({"fallback": [{"mode": "edge", "maxTokens": 0}]}, "out-of-bounds", "1 to"),
        ({"fallback": [{"mode": "edge", "timeout": "1s"}]}, "unknown-key", "mode, maxTokens, reason"),
        ({"fallback": [{"mode": "cloud"}]}, "double-name", ""),
    ],
)
def test_a_term_without_sense(term: dict[str, Any], code: str, expected: str) -> None:
    found = problem(deciding({"mode": "cloud", **term}))
    assert found.code == code and found.rule_id == "a"
    assert expected in found.expected


@pytest.mark.parametrize("model", ["2.1", "=1.4.0", ">=2.1 <3", "edgewise-large", "sha256:0a1b", "org/model:7b"])
def test_models_by_name_or_range(model: str) -> None:
    decision = Policy.load(deciding({"mode": "cloud", "models": {"cloud": model}})).decide(typical_facts({}))
    assert decision.terms == Terms(cloud_model=model)


def test_terms_go_with_their_fallback() -> None:
    outcome = {"mode": "edge", "fallback": [{"mode": "cloud", "maxTokens": 9}, {"mode": "refuse", "reason": "no"}]}
    policy = Policy.load(deciding({**outcome, "priority": 2}))
    private = typical_facts({"request.sensitivity": "personal", "request.origin": "device"})
    decision = policy.decide(private)
    assert decision.fallback == (Mode.REFUSE,)
    assert decision.terms == Terms(priority=2, fallback=(StepTerms(Mode.REFUSE, None, "no"),))


def test_decisions_with_terms_travel() -> None:
    decision = Policy.load(deciding(FULL)).decide(typical_facts({}))
    assert Decision.from_dict(decision.to_dict()) == decision
    said = decision.to_dict()["terms"]
    assert said["redact"] == "personal" and said["fallback"][0]["mode"] == "edge" and "escalate_below" not in said


def test_records_of_old_are_read() -> None:
    decision = Policy.load(seed_text()).decide(typical_facts({}))
    old = decision.to_dict()
    del old["terms"], old["timeouts"]["soft_s"]
    assert Decision.from_dict(old) == decision


@pytest.mark.parametrize("terms", [{"speed": 3}, {"redact": "all"}, {"fallback": [{"mode": "sideways"}]}, None, 3])
def test_records_without_sense_are_refused(terms: Any) -> None:
    decision = Policy.load(seed_text()).decide(typical_facts({}))
    with pytest.raises((KeyError, TypeError, ValueError)):
        Decision.from_dict({**decision.to_dict(), "terms": terms})


def test_tests_may_expect_terms() -> None:
    wanted = {key: FULL[key] for key in ("timeout", "models", "redact", "pacing", "priority", "budget")}
    tests = [
        {"name": "as it is", "expect": {"rule": "a", **wanted}},
        {"name": "a part", "expect": {"budget": {"maxCost": 40_000}}},
        {"name": "other", "expect": {"budget": {"maxTokens": 513}, "escalate": {"below": 0.5}}},
    ]
    outcomes = Policy.load(deciding(FULL, tests=tests)).run_tests()
    assert [outcome.passed for outcome in outcomes] == [True, True, False]
    assert "max_tokens should be 513 and is 512" in outcomes[2].detail
    assert "escalate_below should be 0.5 and is nothing" in outcomes[2].detail


def test_what_nothing_carries_out_is_told() -> None:
    policy = Policy.load(deciding({**FULL, "escalate": {"below": 0.55}}))
    told = {warning.message.split()[0] for warning in policy.warnings if warning.code == "not-carried-out"}
    assert told == {"redact", "escalate"}
    assert {(warning.severity, warning.rule_id) for warning in policy.warnings} == {("warning", "a")}
    assert [warning.code for warning in policy.warnings].count("no-effect") == 1


def test_what_is_carried_out_is_not_told() -> None:
    outcome = {key: value for key, value in FULL.items() if key != "redact"}
    assert Policy.load(deciding(outcome)).warnings == ()


@pytest.mark.parametrize(
    ("outcome", "effect"),
    [
        ({"mode": "cloud", "fallback": "edge"}, True),
        ({"mode": "prefer-edge"}, True),
        ({"mode": "edge", "fallback": ["refuse", "cloud"]}, True),
        ({"mode": "edge"}, False),
        ({"mode": "cloud", "fallback": "refuse"}, False),
        ({"mode": "prefer-edge", "fallback": []}, False),
        ({"mode": "race"}, False),
        ({"mode": "race", "fallback": "edge"}, False),
    ],
)
def test_a_head_start_needs_a_next_step(outcome: dict[str, Any], effect: bool) -> None:
    warnings = Policy.load(deciding({**outcome, "timeout": {"soft": "1s"}})).warnings
    assert [warning.code for warning in warnings] == ([] if effect else ["no-effect"])


def test_records_keep_what_was_asked() -> None:
    decision = Policy.load(deciding(FULL)).decide(typical_facts({}))
    limits = {"soft_s": 0.8, "first_token_s": 2.0, "total_s": 60.0}
    assert decision.asked() == TERMS.to_dict() | {"timeouts": limits}
    assert Policy.load(deciding({"mode": "cloud"})).decide(typical_facts({})).asked() == {}


def test_an_escalation_belongs_to_a_cascade() -> None:
    text = deciding({"mode": "cascade", "escalate": {"below": 0.55}})
    policy = Policy.load(text, supported_modes=tuple(Mode))
    assert [warning.code for warning in policy.warnings] == ["not-carried-out"]
    assert policy.decide(typical_facts({})).terms == Terms(escalate_below=0.55)
