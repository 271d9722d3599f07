"""Who vouches for a bundle: the protocols of signers and verifiers, and HMAC-SHA256 for a key that both sides share.

A verifier knows one algorithm and its keys; a bundle names a key only, so that it cannot choose how it is verified.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

MIN_SECRET_BYTES: Final = 32


class Signer(Protocol):
    """Signs what a control plane issues. `key_id`: 1 to 64 of letters, digits, dot, dash and underscore."""

    @property
    def key_id(self) -> str:
        """The name under which verifiers know the key."""

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, at most 512 bytes."""


class Verifier(Protocol):
    """Judges signatures with the keys that a device trusts."""

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether the key, if it is trusted, made this signature for this very message. Never raises."""


@dataclass(frozen=True, slots=True)
class HmacSigner:
    """HMAC-SHA256. Whoever can verify can sign too: fit where each device has a secret of its own.

    Raises ValueError for a secret of less than 32 bytes.
    """

    key_id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _judge(self.secret)

    def sign(self, message: bytes) -> bytes:
        """32 bytes."""
        return hmac.digest(self.secret, message, "sha256")


@dataclass(frozen=True, slots=True)
class HmacVerifier:
    """HMAC-SHA256 with secrets by key id; two of them while a key is being replaced. Raises ValueError as above."""

    secrets: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        for secret in self.secrets.values():
            _judge(secret)

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """In constant time for a known key."""
        secret = self.secrets.get(key_id)
        return secret is not None and hmac.compare_digest(hmac.digest(secret, message, "sha256"), signature)


def _judge(secret: bytes) -> None:
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"a secret has {len(secret)} bytes, and needs at least {MIN_SECRET_BYTES}")
