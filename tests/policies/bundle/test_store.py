"""The last known good bundle: what is accepted, what is rejected, and what is decided when its time is over."""

from __future__ import annotations

import math
from typing import Any

import pytest

from policies import Mode, leaves_device
from policies.bundle import Accepted, BundleError, LastKnownGood, Refusal, Rejected
from tests.policies.bundle.bundles import ISSUED_AT_S, NOT_AFTER_S, NOW_S, VERIFIER, Facts, packed, small
from tests.policies.documents import with_rules

WORLD: Facts = {
    "request.sensitivity": "public",
    "request.origin": "device",
    "request.complexity": 0.1,
    "device.present": True,
}
LATER_S = NOT_AFTER_S + 1.0


def after(*bundles: bytes, now_s: float = NOW_S) -> LastKnownGood:
    """The state of a device to which these were offered; each must be accepted."""
    state = LastKnownGood()
    for raw in bundles:
        state, verdict = state.offer(raw, VERIFIER, now_s)
        assert isinstance(verdict, Accepted)
    return state


def test_the_newest_bundle_decides() -> None:
    state = after(small(1, "cloud"), small(2, "edge"))
    assert state.decide(WORLD, NOW_S).mode is Mode.EDGE


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", Refusal.NO_BUNDLE),
        (small(1), Refusal.OLDER),
        (small(2, "edge"), Refusal.OTHER),
        (small(3)[:-1], Refusal.DIGEST),
    ],
)
def test_a_rejected_bundle_changes_nothing(raw: bytes, code: Refusal) -> None:
    before = after(small(2))
    state, verdict = before.offer(raw, VERIFIER, NOW_S)
    assert state is before
    assert isinstance(verdict, Rejected) and verdict.code is code and verdict.message


@pytest.mark.parametrize("on_error", ["edge", "cloud", "prefer-cloud", "race", "refuse"])
@pytest.mark.parametrize("present", [True, False])
def test_an_expired_bundle_never_leaves_the_device(on_error: str, present: bool) -> None:
    state = after(small(onError={"mode": on_error, "reason": "the safe one"}))
    decision = state.decide({**WORLD, "device.present": present}, LATER_S)
    assert not any(map(leaves_device, (decision.mode, *decision.fallback)))
    assert decision.rule_id == "onError" and "expired" in decision.errors[0]
    assert on_error != "refuse" or decision.mode is Mode.REFUSE
    assert on_error not in ("cloud", "race") or decision.mode is (Mode.EDGE if present else Mode.REFUSE)


def test_the_declared_invariants_hold_after_expiry() -> None:
    never = {"name": "no-edge", "never": "decision.mode == 'edge'"}
    state = after(small(onError={"mode": "edge"}, invariants=[never]))
    assert state.decide(WORLD, LATER_S).mode is Mode.REFUSE


def test_an_expired_bundle_still_blocks_a_rollback_and_a_new_one_heals() -> None:
    state = after(small(2))
    _, verdict = state.offer(packed(with_rules([]), version=1, not_after_s=NOT_AFTER_S * 2), VERIFIER, LATER_S)
    assert isinstance(verdict, Rejected) and verdict.code is Refusal.OLDER
    state, verdict = state.offer(packed(with_rules([]), version=3, not_after_s=NOT_AFTER_S * 2), VERIFIER, LATER_S)
    assert isinstance(verdict, Accepted) and state.decide(WORLD, LATER_S).rule_id == "default"


def test_a_clock_set_back_does_not_undo_the_time_of_issue() -> None:
    newer = packed(with_rules([]), version=2, issued_at_s=NOT_AFTER_S + 10, not_after_s=NOT_AFTER_S + 20)
    state = after(newer)
    _, verdict = state.offer(small(3), VERIFIER, float(ISSUED_AT_S))
    assert isinstance(verdict, Rejected) and verdict.code is Refusal.EXPIRED


def test_a_device_that_starts_again_knows_what_it_knew() -> None:
    kept = after(small(2)).bundle
    assert kept is not None
    state = LastKnownGood.restored(kept.raw, VERIFIER)
    assert state.decide(WORLD, NOW_S).mode is Mode.CLOUD and state.decide(WORLD, LATER_S).rule_id == "onError"
    assert isinstance(state.offer(small(1), VERIFIER, NOW_S)[1], Rejected)
    with pytest.raises(BundleError):
        LastKnownGood.restored(kept.raw[:-2], VERIFIER)


@pytest.mark.parametrize(
    ("facts", "mode"), [({"device.present": True}, Mode.EDGE), ({}, Mode.REFUSE), (None, Mode.REFUSE)]
)
def test_without_any_bundle(facts: Any, mode: Mode) -> None:
    decision = LastKnownGood().decide(facts, NOW_S)
    assert decision.mode is mode and decision.fallback == () and decision.errors


@pytest.mark.parametrize("now_s", [math.nan, math.inf])
def test_a_time_that_is_none_is_after_everything(now_s: float) -> None:
    assert after(small()).decide(WORLD, now_s).rule_id == "onError"
