"""Explanations: every rule's outcome, the values it read, and what would have flipped the decision."""

from __future__ import annotations

from typing import Any

from policies import Flip, Mode, Policy, typical_facts
from policies.library import seed_text
from tests.policies.documents import when, with_rules

SEED = Policy.load(seed_text())


def flips(given: dict[str, Any]) -> dict[tuple[str, Any], Flip]:
    """The seed policy's flips by fact and value."""
    return {(flip.fact, flip.value): flip for flip in SEED.explain(typical_facts(given)).flips}


def test_every_rule_is_told() -> None:
    explanation = SEED.explain(typical_facts({"device.rtt_ms": 700.0}))
    outcomes = {trace.rule_id: trace.outcome for trace in explanation.rules}
    assert list(outcomes) == [rule.id for rule in SEED.document.rules]
    assert outcomes["sensitive"] == "not_matched" and outcomes["slow-link"] == "matched"
    assert outcomes["needs-fresh"] == "not_reached"
    traced = {trace.rule_id: trace for trace in explanation.rules}
    assert traced["slow-link"].values == {"device.rtt_ms": 700.0}
    assert seed_text().splitlines()[traced["slow-link"].line - 1].strip() == "- id: slow-link"


def test_the_decision_is_the_same() -> None:
    facts = typical_facts({"device.battery_pct": 5.0})
    explained = SEED.explain(facts).decision
    assert explained.flips and explained.mode == SEED.decide(facts).mode and SEED.decide(facts).flips == ()


def test_flips_are_the_nearest_changes() -> None:
    found = flips({"device.rtt_ms": 700.0})
    assert found["device.rtt_ms", 500.0].mode is Mode.RACE
    assert found["device.rtt_ms", 1001.0].rule_id == "unreachable"
    assert ("device.rtt_ms", None) not in found, "absence gives the same mode from farther away"
    assert found["device.present", False].mode is Mode.CLOUD
    assert found["request.sensitivity", "personal"].rule_id == "sensitive"
    assert not any(fact == "device.battery_pct" for fact, _ in found)


def test_flips_really_flip() -> None:
    for given in ({}, {"device.battery_pct": 3.0}, {"request.sensitivity": "secret"}, {"device.present": False}):
        facts = typical_facts(given)
        for flip in SEED.explain(facts).flips:
            changed = SEED.decide({**facts, flip.fact: flip.value})  # type: ignore[dict-item]
            assert (changed.mode, changed.rule_id) == (flip.mode, flip.rule_id)
            assert changed.mode != SEED.decide(facts).mode


def test_words_of_the_policy_are_tried() -> None:
    policy = when("request.tenant == 'zoo'")
    (flip,) = [flip for flip in policy.explain(typical_facts({})).flips if flip.fact == "request.tenant"]
    assert str(flip) == "request.tenant 'acme' → 'zoo' would give cloud (r0)"


def test_errors_are_explained_too() -> None:
    policy = Policy.load(with_rules([("1 / request.turns == 5", "cloud"), ("true", "cloud")]))
    explanation = policy.explain(typical_facts({"request.turns": 0}))
    assert [trace.outcome for trace in explanation.rules] == ["error", "not_reached"]
    assert explanation.decision.rule_id == "onError"
    assert policy.explain({}).decision.errors
    assert policy.explain(None).decision.errors  # type: ignore[arg-type]


def test_to_dict_is_json_ready() -> None:
    data = SEED.explain(typical_facts({})).to_dict()
    assert data["decision"]["mode"] == "race" and data["rules"][0]["rule_id"] == "sensitive-no-device"
    assert any("device.rtt_ms" in flip or "battery" in flip for flip in data["flips"])
