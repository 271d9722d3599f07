"""What two policies decide differently."""

from __future__ import annotations

import json

import pytest

from policies import Policy
from policies.analysis import Change, difference
from tests.policies.documents import with_rules


def _policy(*rules: tuple[str, str], **spec: object) -> Policy:
    return Policy.load(with_rules(rules, **spec))


def _sound(old: Policy, new: Policy) -> list[Change]:
    """The changes that sound facts show, each tried again."""
    changes = [change for change in difference(old, new) if "?" not in (change.facts or {}).values()]
    for change in changes:
        assert change.facts is not None
        assert (change.old, change.new) == (old.decide(change.facts), new.decide(change.facts))
        json.dumps(change.to_dict())
    return changes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("request.turns > 3", "request.turns >= 4"),
        ("!(device.present && request.turns > 3)", "request.turns <= 3 || !device.present"),
        ("request.task in ['code', 'tool']", "request.task == 'tool' || request.task == 'code'"),
        ("request.tenant.startsWith('ab')", "request.tenant >= 'ab' && request.tenant < 'ac'"),
        ("has(device.rtt_ms) && device.rtt_ms > 5.0", "device.rtt_ms.orValue(0.0) > 5.0"),
        ("request.turns * 2 > 5 && device.present", "device.present && request.turns * 2 > 5"),
    ],
)
def test_equal_policies_are_proved_equal(old: str, new: str) -> None:
    assert _sound(_policy((old, "cloud")), _policy((new, "cloud"))) == []


def test_one_context_for_each_kind_of_change() -> None:
    old = _policy(("request.turns > 3", "cloud"), ("device.present", "edge"))
    new = _policy(("request.turns > 5", "cloud"), ("device.present", "edge"))
    kinds = {(change.old_rule, change.new_rule) for change in _sound(old, new)}
    assert kinds == {("r0", "r1"), ("r0", "default")}
    assert {change.facts["request.turns"] for change in _sound(old, new) if change.facts} <= {4, 5}


def test_order_reason_and_names_are_no_change() -> None:
    old = _policy(("request.turns > 3", "cloud"), ("request.turns < 2", "edge"))
    new = _policy(
        ("request.turns < 2", "edge"), ("request.turns > 3", "cloud"), default={"mode": "race", "reason": "x"}
    )
    assert difference(old, new) == ()


def test_other_time_limits_are_a_change() -> None:
    old, new = _policy(default={"mode": "edge"}), _policy(default={"mode": "edge", "timeout": {"total": "5s"}})
    (change,) = difference(old, new)
    assert change.old is not None
    assert change.new is not None
    assert (change.old.timeouts.total_s, change.new.timeouts.total_s) == (None, 5.0)


def test_an_invariant_alone_is_a_change() -> None:
    never = {"name": "n", "never": "request.task == 'code' && decision.mode == 'cloud'"}
    old, new = _policy(("device.present", "cloud")), _policy(("device.present", "cloud"), invariants=[never])
    (change,) = _sound(old, new)
    assert change.facts is not None
    assert change.facts["request.task"] == "code"
    assert change.new is not None
    assert change.new.clamped_by == ("n",)


def test_what_bad_facts_lead_to_is_compared() -> None:
    old = _policy(("request.turns > 3", "cloud"))
    new = _policy(("request.turns > 3", "cloud"), onError={"mode": "refuse"})
    (change,) = difference(old, new)
    assert (change.old_rule, change.new_rule) == ("onError", "onError")


def test_what_is_not_known_is_said() -> None:
    old = _policy(("request.model.matches('^q[0-9]{9}$')", "cloud"))
    (change,) = difference(old, _policy(("request.model.matches('^q[0-9]{8}$')", "cloud")))[:1]
    assert (change.facts, change.old_rule) == (None, "r0")
    assert change.reason
