"""Explanations: every rule's outcome, the values it read, and what would have flipped the decision."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from policies import Decision, FactSpec, FactType, Flip, Mode, Policy, typical_facts
from policies.candidates import candidates
from policies.language.values import Duration
from policies.library import seed_text
from tests.policies.documents import when, with_rules
from tests.policies.strategies import sound_facts
from tests.policies.test_equivalence import policies_
from tests.policies.test_trace import loaded

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
    for changes in ({}, {"device.battery_pct": 3.0}, {"request.sensitivity": "secret"}, {"device.present": False}):
        facts = typical_facts(changes)
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


def only_flip(expression: str, given: dict[str, Any], **spec: Any) -> Flip:
    """The one flip of a policy with this expression as its rule."""
    (flip,) = when(expression, **spec).explain(typical_facts(given)).flips
    return flip


def test_where_no_single_change_flips_the_nearest_pair_is_told() -> None:
    flip = only_flip("request.turns > 3 && request.complexity > 0.7 || request.turns > 90 && request.needs_fresh", {})
    assert flip.changes[0].fact == "request.turns" and flip.changes[0].value == 4
    assert flip.changes[1].fact == "request.complexity" and flip.changes[1].value == 0.71
    told = "request.turns 1 → 4 and request.complexity 0.5 → 0.71 would give cloud (r0)"
    assert str(flip) == told


def test_distances_are_in_steps_of_the_fact() -> None:
    far, near = "request.turns > 40 && request.needs_fresh", "request.complexity > 0.6 && request.needs_fresh"
    flip = only_flip(f"({far}) || ({near})", {})
    assert {change.fact for change in flip.changes} == {"request.complexity", "request.needs_fresh"}


def test_a_pair_survives_its_record() -> None:
    explained = when("request.turns > 3 && request.needs_fresh").explain(typical_facts({})).decision
    assert explained.flips[0].also and Decision.from_dict(explained.to_dict()) == explained
    old = {**SEED.decide(typical_facts({})).to_dict(), "flips": []}
    assert Decision.from_dict(old).flips == ()


@pytest.mark.parametrize(
    ("expression", "given", "changes"),
    [
        ("has(device.battery_pct)", {"device.battery_pct": None}, [("device.battery_pct", 80.0)]),
        ("!has(device.battery_pct)", {}, [("device.battery_pct", None)]),
        ("has(device.id)", {"device.id": None}, [("device.id", "tablet-1")]),
        ("request.tenant != 'acme'", {}, [("request.tenant", "other")]),
        (
            "request.prompt_tokens > request.context_tokens",
            {},
            [("request.context_tokens", 39), ("request.prompt_tokens", 121)],
        ),
        ("request.prompt_tokens > 10 * 20", {}, [("request.prompt_tokens", 201)]),
        ("device.link.orValue('none') == 'cellular'", {}, [("device.link", "cellular")]),
        ("request.sensitivity >= 'internal'", {}, [("request.sensitivity", "internal")]),
    ],
)
def test_every_kind_of_fact_can_flip(expression: str, given: dict[str, Any], changes: list[tuple[str, Any]]) -> None:
    found = when(expression).explain(typical_facts(given)).flips
    assert [(flip.fact, flip.value) for flip in found] == changes


@pytest.mark.parametrize(
    ("type_", "now", "met", "nearest"),
    [
        (FactType.DURATION, Duration(0), [Duration(5_000_000_000)], Duration(4_000_000_000)),
        (FactType.TEXTS, ["b"], ["a"], []),
        (FactType.TEXT_MAP, {}, ["k", "v"], {"k": "k"}),
        (FactType.INT, 5, [2**63 - 1], 2**63 - 2),
        (FactType.INT, 5, [3, float("inf"), float("nan")], 3),
        (FactType.DOUBLE, None, [1.0, float("inf"), float("nan")], 0.0),
    ],
)
def test_candidates_of_other_types(type_: FactType, now: Any, met: list[Any], nearest: Any) -> None:
    found = [each.value for each in candidates(FactSpec("x", type_, "", optional=True), now, met)]
    assert nearest in found and now not in found
    assert len(found) <= 64


@settings(max_examples=25, deadline=None)
@given(policies_, sound_facts)
def test_every_flip_flips(text: str, facts: dict[str, Any]) -> None:
    policy = loaded(text)
    explanation = policy.explain(facts)
    for flip in explanation.flips:
        moved: dict[str, Any] = {change.fact: change.value for change in flip.changes}
        changed = policy.decide({**facts, **moved})
        assert (changed.mode, changed.rule_id) == (flip.mode, flip.rule_id)
        assert changed.mode != explanation.decision.mode and not changed.errors


def test_clauses_are_told() -> None:
    explanation = SEED.explain(typical_facts({"request.sensitivity": "secret"}))
    told = explanation.to_dict()["rules"][0]["clauses"]
    assert [(clause["text"], clause["value"]) for clause in told] == [
        ("variables.sensitive", True),
        ("device.present", True),
    ]
    assert told[0]["facts"] == {"request.sensitivity": "secret"}


def test_to_dict_is_json_ready() -> None:
    data = SEED.explain(typical_facts({})).to_dict()
    assert data["decision"]["mode"] == "race" and data["rules"][0]["rule_id"] == "sensitive-no-device"
    assert any("device.rtt_ms" in flip or "battery" in flip for flip in data["flips"])
