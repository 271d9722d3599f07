"""Attacks on a device by way of its policy bundle, each by its name; what is honest passes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policies.bundle import MAX_BYTES, BundleError, HmacSigner, Refusal, restore_bundle
from policies.bundle.envelope import FORMAT, seal, split
from policies.bundle.schema import PROFILE
from policies.invariants import PRIVACY
from policies.modes import Mode
from tests.policies.bundle.bundles import (
    NOT_AFTER_S,
    NOW_S,
    SIGNER,
    VERIFIER,
    Facts,
    NoSigner,
    contents,
    forged,
    opened,
    refusal,
    seed,
    signed,
    small,
)


def test_an_honest_bundle_is_taken() -> None:
    bundle = opened(seed())
    assert (bundle.charter.name, bundle.charter.version) == ("seed", 1)
    assert bundle.raw == seed() and bundle.digest == split(seed()).digest


# ── who sends ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_forgery_without_a_key() -> None:
    payload = split(small()).payload
    assert refusal(seal(payload, NoSigner())) is Refusal.SIGNATURE
    assert refusal(seal(payload, HmacSigner("fleet-1", b"x" * 32))) is Refusal.SIGNATURE


def test_a_key_that_this_device_does_not_trust() -> None:
    assert refusal(seal(split(small()).payload, HmacSigner("fleet-2", b"k" * 32))) is Refusal.SIGNATURE


def test_a_signature_made_for_something_else() -> None:
    payload = split(small()).payload
    bare = NoSigner(signature=HmacSigner("fleet-1", b"k" * 32).sign(payload))
    assert refusal(seal(payload, bare)) is Refusal.SIGNATURE


def test_a_signature_moved_to_another_bundle() -> None:
    ours, theirs = small(), small(mode="edge")
    moved = NoSigner(signature=split(ours).signature)
    assert refusal(seal(split(theirs).payload, moved)) is Refusal.SIGNATURE


def test_the_signature_is_over_the_exact_bytes() -> None:
    payload = split(small()).payload
    spaced = payload.replace(b":", b": ", 1)
    assert refusal(seal(spaced, NoSigner(signature=split(small()).signature))) is Refusal.SIGNATURE


# ── what arrives ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", Refusal.NO_BUNDLE),
        (b"{}", Refusal.NO_BUNDLE),
        (small()[1:], Refusal.NO_BUNDLE),
        (small().replace(b"/1 ", b"/2 ", 1), Refusal.NO_BUNDLE),
        (small().replace(b"fleet-1", b"fleet 1", 1), Refusal.NO_BUNDLE),
        (small().replace(b"\n", b"\r\n", 1), Refusal.NO_BUNDLE),
        (small()[:-1], Refusal.DIGEST),
        (small() + b"\n", Refusal.DIGEST),
        (small().replace(b'"version":1', b'"version":2'), Refusal.DIGEST),
    ],
)
def test_cut_or_altered_on_the_way(raw: bytes, code: Refusal) -> None:
    assert refusal(raw) is code


def test_endless_data() -> None:
    assert refusal(small() + b" " * MAX_BYTES) is Refusal.TOO_LARGE


def test_an_endless_first_line() -> None:
    assert refusal(f"{FORMAT} sha256:".encode() + b"0" * (MAX_BYTES - 100)) is Refusal.NO_BUNDLE


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"NaN",
        b"\xff",
        b"[" * 100_000,
        b"9" * 100_000,
        b'{"a":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1.00}',
        b'{"a":1e400}',
        '{"a":"ü"}'.encode(),
    ],
)
def test_a_payload_in_no_canonical_form(payload: bytes) -> None:
    assert refusal(signed(payload)) in (Refusal.NOT_CANONICAL, Refusal.SHAPE)


def test_two_spellings_of_one_policy() -> None:
    payload = split(small()).payload
    assert refusal(signed(payload.replace(b'"version":1', b'"version":1.0'))) is Refusal.SHAPE
    assert refusal(signed(payload.replace(b",", b", ", 1))) is Refusal.NOT_CANONICAL


# ── when it arrives ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("now_s", [NOT_AFTER_S + 0.5, NOT_AFTER_S * 2.0, math.inf, math.nan])
def test_freeze_an_old_bundle_kept_alive(now_s: float) -> None:
    assert refusal(small(), now_s) is Refusal.EXPIRED


def test_the_last_second_still_counts() -> None:
    assert opened(small()).holds_at(float(NOT_AFTER_S))


def test_rollback_to_an_older_version() -> None:
    assert refusal(small(1), last=opened(small(2))) is Refusal.OLDER


def test_equivocation_two_contents_under_one_version() -> None:
    assert refusal(small(2, "edge"), last=opened(small(2))) is Refusal.OTHER


def test_the_same_bundle_again_and_a_newer_one_pass() -> None:
    first = opened(small(2))
    assert opened(small(2), last=first) == first
    assert opened(small(3), last=first).charter.version == 3


def test_an_expired_bundle_is_restored_and_not_opened() -> None:
    raw = small()
    assert refusal(raw, NOT_AFTER_S + 1.0) is Refusal.EXPIRED
    assert restore_bundle(raw, VERIFIER).raw == raw
    with pytest.raises(BundleError):
        restore_bundle(raw[:-1], VERIFIER)


# ── what it says ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_profile_of_the_language() -> None:
    assert contents(small())["profile"] == PROFILE
    assert refusal(forged(small(), lambda data: data.update(profile="edgewise-cel/2"))) is Refusal.PROFILE


def test_facts_that_mean_something_else_here() -> None:
    raw = small()
    assert refusal(forged(raw, lambda data: data["schema"].update(digest="0" * 64))) is Refusal.SCHEMA
    assert refusal(forged(raw, lambda data: data["schema"]["facts"].append("request.mood"))) is Refusal.SCHEMA
    assert refusal(forged(raw, lambda data: data["schema"]["functions"].append("launch"))) is Refusal.SCHEMA
    assert refusal(forged(raw, lambda data: data["context"].update(phase="tomorrow"))) is Refusal.SCHEMA


def test_a_schema_that_keeps_silent_about_a_fact() -> None:
    other = contents(small(invariants=[{"name": "n", "never": "request.needs_fresh"}]))["schema"]
    assert refusal(forged(small(), lambda data: data.update(schema=other))) is Refusal.SCHEMA


def test_a_bundle_cannot_leave_out_the_privacy_of_devices() -> None:
    private: Facts = {"request.sensitivity": "personal", "request.origin": "device", "request.complexity": 0.1}
    assert contents(small())["invariants"] == []
    decision = opened(small()).decide({**private, "device.present": True})
    assert decision.mode is Mode.EDGE and decision.clamped_by == (PRIVACY,)


def test_a_mode_that_this_device_cannot_carry_out() -> None:
    assert refusal(small(), supported_modes={Mode.EDGE, Mode.REFUSE}) is Refusal.OUTCOME


def test_the_signer_refuses_what_no_line_can_hold() -> None:
    for signer in (
        NoSigner(key_id="two words"),
        NoSigner(key_id=""),
        NoSigner(signature=b""),
        NoSigner("k", b"x" * 999),
    ):
        with pytest.raises(BundleError):
            seal(b"{}", signer)


def test_secrets_are_long_and_stay_secret() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        HmacSigner("short", b"k" * 31)
    assert "kkk" not in repr(SIGNER) + repr(VERIFIER)
    assert replace(SIGNER, key_id="other").sign(b"m") == SIGNER.sign(b"m")


def test_now_is_given_not_read() -> None:
    assert opened(small()) == opened(small()) and NOW_S < NOT_AFTER_S
