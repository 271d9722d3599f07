"""Invariants proved or refuted, and by what."""

from __future__ import annotations

import pytest

from policies import Policy
from policies.analysis import Proof, Proved, Refuted, Unknown, prove
from policies.invariants import PRIVACY
from tests.policies.documents import with_rules

_OWN = {"name": "own", "never": "request.sensitivity >= 'personal' && decision.leaves_device"}


def _proof(*rules: tuple[str, str], name: str = "own", on_error: str = "edge", default: str = "edge") -> Proof:
    spec = {"invariants": [_OWN], "onError": {"mode": on_error}, "default": {"mode": default}}
    policy = Policy.load(with_rules(rules, **spec))
    proof = prove(policy, name)
    if isinstance(proof, Refuted):
        decision = policy.decide(proof.facts)
        assert decision.rule_id == proof.rule_id
        assert name in decision.clamped_by
    return proof


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [("request.sensitivity < 'personal'", "cloud")],
        [("request.sensitivity in ['personal', 'secret']", "edge"), ("device.present", "race")],
        [("request.sensitivity == 'secret'", "refuse"), ("request.sensitivity != 'personal'", "prefer-edge")],
        [("request.turns + 1 > 3 && request.sensitivity == 'public'", "cloud")],
    ],
)
def test_proved(rules: list[tuple[str, str]]) -> None:
    assert _proof(*rules) == Proved("own")
    assert _proof(*rules, name=PRIVACY) == Proved(PRIVACY)


def test_refuted_by_a_rule() -> None:
    proof = _proof(("request.sensitivity == 'secret'", "edge"), ("device.present", "cloud"))
    assert isinstance(proof, Refuted)
    assert (proof.rule_id, proof.step) == ("r1", "cloud")
    assert proof.facts["request.sensitivity"] == "personal"


def test_refuted_by_the_default() -> None:
    proof = _proof(("request.sensitivity == 'secret'", "edge"), default="race")
    assert isinstance(proof, Refuted)
    assert proof.rule_id == "default"


def test_refuted_by_a_fallback() -> None:
    proof = _proof(("device.present", "prefer-edge"))
    assert isinstance(proof, Refuted)
    assert proof.step == "prefer-edge"


def test_refuted_by_on_error_after_a_failing_rule() -> None:
    proof = _proof(("10 / request.turns > 3", "edge"), on_error="cloud")
    assert isinstance(proof, Refuted)
    assert proof.rule_id == "onError"
    assert proof.facts["request.turns"] == 0


def test_refuted_by_on_error_after_a_bad_fact() -> None:
    proof = _proof(("request.turns > 3", "edge"), on_error="cloud")
    assert isinstance(proof, Refuted)
    assert proof.rule_id == "onError"
    assert proof.facts["request.turns"] == "?"


def test_without_rules_nothing_leads_to_on_error() -> None:
    assert _proof(on_error="cloud") == Proved("own")


def test_beyond_the_core_it_is_not_known() -> None:
    rule = ("request.model.matches('^q[0-9]{9}$') && request.sensitivity == 'secret'", "cloud")
    proof = _proof(rule)
    assert isinstance(proof, Unknown)
    assert "outside of the core" in proof.reason


def test_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        prove(Policy.load(with_rules([])), "nothing")
