"""Bundles for tests: a signer and its verifier, packing in one line, and ways to damage what was packed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policies import FactValue, Policy
from policies.bundle import Bundle, BundleError, HmacSigner, HmacVerifier, Refusal, open_bundle, pack
from policies.bundle.canonical import canonical_bytes
from policies.bundle.envelope import seal, split
from policies.library import seed_text
from tests.policies.documents import with_rules

SIGNER = HmacSigner("fleet-1", b"k" * 32)
VERIFIER = HmacVerifier({"fleet-1": b"k" * 32})
ISSUED_AT_S = 1_000_000
NOT_AFTER_S = 2_000_000
NOW_S = 1_500_000.0

Change = Callable[[dict[str, Any]], object]
Facts = dict[str, FactValue]


def packed(text: str, *, version: int = 1, issued_at_s: int = ISSUED_AT_S, not_after_s: int = NOT_AFTER_S) -> bytes:
    """The bundle of a document."""
    return pack(Policy.load(text), SIGNER, version=version, issued_at_s=issued_at_s, not_after_s=not_after_s)


def opened(raw: bytes, **more: Any) -> Bundle:
    """The bundle on a device that trusts the test's key."""
    return open_bundle(raw, VERIFIER, NOW_S, **more)


def refusal(raw: bytes, now_s: float = NOW_S, **more: Any) -> Refusal:
    """Why the bytes are refused."""
    try:
        open_bundle(raw, VERIFIER, now_s, **more)
    except BundleError as error:
        assert str(error)
        return error.code
    raise AssertionError("the bundle was accepted")


def small(version: int = 1, mode: str = "cloud", **spec: Any) -> bytes:
    """The bundle of a policy of one rule."""
    return packed(with_rules([("request.complexity < 0.5", mode)], **spec), version=version)


def seed() -> bytes:
    """The bundle of the seed policy."""
    return packed(seed_text())


def contents(raw: bytes) -> dict[str, Any]:
    """The data of a bundle's payload."""
    data: dict[str, Any] = json.loads(split(raw).payload)
    return data


def signed(payload: bytes) -> bytes:
    """A payload, whatever it is, under a good signature: the worst that a control plane's bug could send."""
    return seal(payload, SIGNER)


def forged(raw: bytes, change: Change) -> bytes:
    """The bundle with its data changed, and signed anew: the key has been stolen, or the signer has a bug."""
    data = contents(raw)
    change(data)
    return signed(canonical_bytes(data))


@dataclass(frozen=True, slots=True)
class NoSigner:
    """Signs with whatever it is given."""

    key_id: str = "fleet-1"
    signature: bytes = b"\x00"

    def sign(self, message: bytes) -> bytes:
        """Always the same."""
        return self.signature
