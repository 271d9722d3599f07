"""Signed policy bundles as a control plane offers them, from a text, with every part open to change."""

from __future__ import annotations

from edgewise.signing import Ed25519Signer
from edgewise.wire.frames import PolicyOffer
from policies import Policy
from policies.bundle import pack
from policies.bundle.envelope import split
from policies.library import seed_text

SIGNER = Ed25519Signer(b"1" * 32)
STRANGER = Ed25519Signer(b"2" * 32)
KEY = SIGNER.public.text
ISSUED_AT_S, NOT_AFTER_S = 1_700_000_000, 4_000_000_000


def named(name: str) -> str:
    """The seed policy under another name."""
    return seed_text().replace("name: seed", f"name: {name}")


def offered(
    text: str,
    version: int = 1,
    *,
    signer: Ed25519Signer = SIGNER,
    issued_at_s: int = ISSUED_AT_S,
    not_after_s: int = NOT_AFTER_S,
) -> PolicyOffer:
    """The offer of this text under a version of the bundle."""
    raw = pack(Policy.load(text), signer, version=version, issued_at_s=issued_at_s, not_after_s=not_after_s)
    return wrapped(raw, version)


def wrapped(raw: bytes, version: int = 1) -> PolicyOffer:
    """An offer of these bytes, under the digest that their first line claims."""
    return PolicyOffer(digest=split(raw).digest, version=version, bundle=raw, policy_version=version)
