"""Ed25519 (RFC 8032): keys as text, who signs, and who verifies with the keys that it trusts.

They fit the protocols of `policies.bundle`, which knows no such library. Where keys are kept is their owners' business.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

KEY_BYTES: Final = 32
PUBLIC: Final = "ed25519:"
PRIVATE: Final = "ed25519-private:"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What verifies. raw: the 32 bytes of the key."""

    raw: bytes

    @classmethod
    def read(cls, text: str) -> PublicKey:
        """The inverse of `text`. Raises ValueError."""
        return cls(_decoded(text.strip(), PUBLIC))

    @property
    def id(self) -> str:
        """Its name in bundles, made of the key: no two keys share one by mistake."""
        return f"ed25519-{hashlib.sha256(self.raw).hexdigest()[:16]}"

    @property
    def text(self) -> str:
        """`ed25519:` and 44 characters of base64."""
        return PUBLIC + base64.b64encode(self.raw).decode()


class Ed25519Signer:
    """Holds a private key, which no representation shows. Raises ValueError for a seed that has not 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise ValueError(f"a private key has {len(seed)} bytes, and needs {KEY_BYTES}")
        self._key = SigningKey(seed)
        self.public = PublicKey(bytes(self._key.verify_key))

    def __repr__(self) -> str:
        return f"Ed25519Signer({self.key_id})"

    @classmethod
    def new(cls) -> Ed25519Signer:
        """A fresh key."""
        return cls(bytes(SigningKey.generate()))

    @classmethod
    def read(cls, text: str) -> Ed25519Signer:
        """The inverse of `private_text`. Raises ValueError, whose words show nothing of the text."""
        return cls(_decoded(text.strip(), PRIVATE))

    @property
    def key_id(self) -> str:
        """The name of the key in bundles."""
        return self.public.id

    def private_text(self) -> str:
        """The private key itself, for its file and nothing else."""
        return PRIVATE + base64.b64encode(bytes(self._key)).decode()

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message).signature

    def derived(self, purpose: str) -> bytes:
        """A secret of 32 bytes for one purpose, which tells nothing of the key or of secrets for others (RFC 2104)."""
        return hmac.digest(bytes(self._key), b"edgewise/" + purpose.encode(), "sha256")


class Ed25519Verifier:
    """Verifies with these keys and no other."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {key.id: VerifyKey(key.raw) for key in keys}

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether the key, if it is trusted, made this signature for this very message. Never raises."""
        key = self._keys.get(key_id)
        if key is None:
            return False
        try:
            key.verify(message, signature)
        except CryptoError:
            return False
        return True


def _decoded(text: str, prefix: str) -> bytes:
    if not text.startswith(prefix):
        raise ValueError(f"it does not begin with {prefix}")
    try:
        raw = base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is no base64") from None
    if len(raw) != KEY_BYTES:
        raise ValueError(f"it has {len(raw)} bytes, and a key has {KEY_BYTES}")
    return raw
