"""Owners: what nodes may know of a caller: the salt that keeps its contexts apart, and whom it shares a queue with."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

import msgspec

from edgewise.api.host import Caller

SECRET_BYTES: Final = 32


class Owners:
    """Makes salts with a secret of this installation: whoever sees one cannot tell, or try out, whose it is.

    Processes that share a secret give the same salts, and so find each other's contexts for a caller.
    """

    def __init__(self, secret: bytes) -> None:
        """Raises ValueError for a secret that is too short to be one."""
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"the secret has {len(secret)} bytes, and needs {SECRET_BYTES}")
        self._secret = secret

    @classmethod
    def of_this_process(cls) -> Owners:
        """With a fresh secret: what a caller leaves is found again by this process only."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    def salt(self, caller: Caller) -> bytes:
        """32 bytes (HMAC-SHA256, RFC 2104) of the tenant and the key: as streams do, contexts belong to a key."""
        return hmac.digest(self._secret, msgspec.msgpack.encode((caller.tenant, caller.key_id)), "sha256")

    def tenant(self, caller: Caller) -> bytes:
        """32 bytes that all keys of the caller's tenant have, and no other's: fairness is among tenants, not keys."""
        return hmac.digest(self._secret, msgspec.msgpack.encode((caller.tenant,)), "sha256")
