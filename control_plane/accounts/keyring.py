"""KeyRing: every live key in memory, so that authenticating costs one hash and one dictionary look-up.

No SQL here; `accounts.service` fills the ring and tells it of every change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from control_plane.accounts.keys import Role, UserTier, is_key, key_digest
from edgewise.wire.errors import ForbiddenError, UnauthenticatedError

RevokedListener = Callable[[str], None]
_REMEDY = "send the header `Authorization: Bearer ek_…` with a key that is live; an operator makes and revokes keys"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. `device` binds the key to one node id; None means any."""

    key_id: str
    tenant: str
    user_tier: UserTier
    roles: frozenset[Role]
    device: str | None = None

    def has(self, role: Role) -> bool:
        """Whether the key carries `role`."""
        return role in self.roles

    def require(self, *any_of: Role) -> None:
        """Raises ForbiddenError unless the key carries one of the roles."""
        if not self.roles.intersection(any_of):
            raise ForbiddenError(
                f"This key may not do that: it has the roles {', '.join(sorted(self.roles))}",
                expected=f"a key with the role {' or '.join(any_of)}",
                remedy="use another key, or ask an operator for one",
            )


@dataclass(frozen=True, slots=True)
class LiveKey:
    """One entry of the ring: the digest instead of the key, and when it ends (Unix seconds; None: never)."""

    digest: str
    principal: Principal
    expires_at_s: float | None = None


class KeyRing:
    """Live keys by digest. Revocation is seen by the next call; listeners hear of it once.

    Comparing happens by looking up a sha256, so timing tells nothing about how much of a key was right.
    """

    def __init__(self, *, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._by_digest: dict[str, LiveKey] = {}
        self._digest_by_id: dict[str, str] = {}
        self._listeners: list[RevokedListener] = []

    def __repr__(self) -> str:
        return f"KeyRing({len(self._by_digest)} keys)"

    def __len__(self) -> int:
        return len(self._by_digest)

    def authenticate(self, credentials: str | None) -> Principal:
        """The principal of an `Authorization` header value or of a bare key. Raises UnauthenticatedError.

        The error never repeats what was sent.
        """
        key = _bare_key(credentials)
        live = self._by_digest.get(key_digest(key))
        if live is None:
            raise UnauthenticatedError("This API key is not known, or was revoked", remedy=_REMEDY)
        if live.expires_at_s is not None and live.expires_at_s <= self._now_s():
            raise UnauthenticatedError("This API key has expired", remedy=_REMEDY)
        return live.principal

    def is_live(self, key_id: str) -> bool:
        """Whether the key with this id still authenticates: for sockets that outlive their first check."""
        live = self._by_digest.get(self._digest_by_id.get(key_id, ""))
        return live is not None and (live.expires_at_s is None or live.expires_at_s > self._now_s())

    def on_revoked(self, listener: RevokedListener) -> Callable[[], None]:
        """Call `listener(key_id)` after each revocation; returns a function that stops that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def add(self, key: LiveKey) -> None:
        """Let a key in."""
        self._by_digest[key.digest] = key
        self._digest_by_id[key.principal.key_id] = key.digest

    def remove(self, key_id: str) -> None:
        """Shut a key out and tell the listeners; an unknown id is nothing to do."""
        digest = self._digest_by_id.pop(key_id, None)
        if digest is None:
            return
        del self._by_digest[digest]
        for listener in tuple(self._listeners):
            listener(key_id)

    def replace(self, keys: Iterable[LiveKey]) -> None:
        """Make the ring hold exactly `keys`; listeners hear of each one that is gone (a change by another process)."""
        fresh = {key.principal.key_id: key for key in keys}
        for key_id in [known for known in self._digest_by_id if known not in fresh]:
            self.remove(key_id)
        for key in fresh.values():
            self.add(key)


def _bare_key(credentials: str | None) -> str:
    if not credentials:
        raise UnauthenticatedError("There is no API key", remedy=_REMEDY)
    scheme, _, rest = credentials.partition(" ")
    key = rest.strip() if scheme.lower() == "bearer" else credentials.strip()
    if not is_key(key):
        raise UnauthenticatedError("This is not an API key", expected="`ek_` and 43 letters or digits", remedy=_REMEDY)
    return key
