"""The seed policy: the order of the contract, its own tests, its agreement with facts table and estimators."""

from __future__ import annotations

from pathlib import Path

import pytest

import policies.library
from edgewise.facts import estimate
from edgewise.facts.sensitivity import SENSITIVITIES
from policies import FACTS, FactValue, Policy, typical_facts
from policies.facts import INPUTS
from policies.language.declarations import accept
from policies.library import seed_text

SEED = Policy.load_for_activation(seed_text())


def test_every_rule_has_a_test() -> None:
    tested = {outcome.decision.rule_id for outcome in SEED.run_tests() if outcome.decision}
    assert tested >= {rule.id for rule in SEED.document.rules} | {"default"}


def test_order_of_the_contract() -> None:
    """Everything is wrong at first; each trouble that goes uncovers the next rule."""
    world: dict[str, FactValue] = {
        "request.sensitivity": "secret",
        "device.online": False,
        "device.rtt_ms": 1500.0,
        "request.needs_fresh": True,
        "device.battery_pct": 5.0,
        "request.complexity": 0.1,
    }
    better: tuple[tuple[str, FactValue, str], ...] = (
        ("request.origin", "device", "sensitive"),
        ("request.sensitivity", "public", "offline"),
        ("device.online", True, "unreachable"),
        ("device.rtt_ms", 600.0, "slow-link"),
        ("device.rtt_ms", 40.0, "needs-fresh"),
        ("request.needs_fresh", False, "low-battery"),
        ("device.battery_pct", 90.0, "simple"),
        ("request.complexity", 0.3, "default"),
    )
    for name, value, rule in better:
        world[name] = value
        assert SEED.decide(typical_facts(world)).rule_id == rule


@pytest.mark.parametrize("tools", [False, True])
def test_estimates_are_facts(tools: bool) -> None:
    facts = estimate([("system", "Be kind."), ("user", "你好, write code!")], tools=tools, max_tokens=5).as_facts()
    for name, value in facts.items():
        assert accept(INPUTS[name], value) == value
    estimated = {name for name in FACTS if name.startswith("request.")} - set(facts)
    asked = {"origin", "user_tier", "tenant", "model", "wants_mode", "wants_device"}
    assert estimated == {f"request.{name}" for name in asked}
    assert not SEED.decide({**typical_facts({}), **facts}).errors


def test_sensitivities_agree() -> None:
    assert FACTS["request.sensitivity"].enum == SENSITIVITIES


@pytest.mark.parametrize("path", sorted(Path(policies.library.__file__).parent.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_library_policy_can_be_activated(path: Path) -> None:
    assert Policy.load_for_activation(path.read_text(encoding="utf-8")).name == path.stem
