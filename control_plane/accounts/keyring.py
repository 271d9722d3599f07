"""KeyRing: every live key in memory, so that authenticating costs one hash and one dictionary look-up.

No SQL here; `accounts.service` fills the ring and tells it of every change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from control_plane.accounts.keys import Role, UserTier, is_key, key_digest
from edgewise.wire.errors import ForbiddenError, UnauthenticatedError

RevokedListener = Callable[[str], None]
SecretListener = Callable[[str, str], None]
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
    """One secret of a key: the digest instead of the key, and when it ends (Unix seconds; None: never)."""

    digest: str
    principal: Principal
    expires_at_s: float | None = None


class KeyRing:
    """Live keys by the digests of their secrets. Revocation is seen by the next call; listeners hear of it once.

    Comparing happens by looking up a sha256, so timing tells nothing about how much of a key was right.
    """

    def __init__(self, *, now_s: Callable[[], float] = time.time) -> None:
        self.changed = asyncio.Event()
        """Set whenever a key came or went: the next expiry may be another one."""
        self._now_s = now_s
        self._by_digest: dict[str, LiveKey] = {}
        self._digests_by_id: dict[str, tuple[str, ...]] = {}
        self._told: set[str] = set()
        self._listeners: list[RevokedListener] = []
        self._secret_listeners: list[SecretListener] = []

    def __repr__(self) -> str:
        return f"KeyRing({len(self)} keys)"

    def __len__(self) -> int:
        return len(self._digests_by_id)

    def authenticate(self, credentials: str | None) -> Principal:
        """The principal of an `Authorization` header value or of a bare key. Raises UnauthenticatedError.

        The error never repeats what was sent.
        """
        key = _bare_key(credentials)
        live = self._by_digest.get(key_digest(key))
        if live is None:
            raise UnauthenticatedError("This API key is not known, or was revoked", remedy=_REMEDY)
        if self._is_over(live):
            raise UnauthenticatedError("This API key has expired", remedy=_REMEDY)
        return live.principal

    def is_live(self, key_id: str) -> bool:
        """Whether the key with this id still authenticates: for sockets that outlive their first check."""
        secrets = self._digests_by_id.get(key_id, ())
        return any(not self._is_over(self._by_digest[digest]) for digest in secrets)

    def on_revoked(self, listener: RevokedListener) -> Callable[[], None]:
        """Call `listener(key_id)` after each revocation and expiry of a key; returns a function that stops that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def on_secret_ended(self, listener: SecretListener) -> Callable[[], None]:
        """Call `listener(key_id, digest)` when a secret that was rotated out ends while its key lives on; returns a
        function that stops that."""
        self._secret_listeners.append(listener)
        return lambda: self._secret_listeners.remove(listener)

    # Changes ------------------------------------------------------------------------------------------------------

    def add(self, *secrets: LiveKey) -> None:
        """Let one key in with its secrets: the present one, and an outgoing one while a rotation overlaps. Secrets
        that it had before and that are not among them end now."""
        key_id = secrets[0].principal.key_id
        staying = tuple(secret.digest for secret in secrets)
        gone = [digest for digest in self._digests_by_id.get(key_id, ()) if digest not in staying]
        self._digests_by_id[key_id] = staying
        for secret in secrets:
            self._by_digest[secret.digest] = secret
            if not self._is_over(secret):
                self._told.discard(secret.digest)
        for digest in gone:
            self._forget(digest)
            self._tell_secret_ended(key_id, digest)
        self.changed.set()

    def remove(self, key_id: str) -> None:
        """Shut a key out and tell the listeners; an unknown id is nothing to do."""
        digests = self._digests_by_id.pop(key_id, None)
        if digests is None:
            return
        for digest in digests:
            self._forget(digest)
        self.changed.set()
        self._tell_revoked(key_id)

    def replace(self, keys: Iterable[Sequence[LiveKey]]) -> None:
        """Make the ring hold exactly `keys`, each with its secrets; listeners hear of each one that is gone (a change
        by another process)."""
        fresh = {secrets[0].principal.key_id: secrets for secrets in keys}
        for key_id in [known for known in self._digests_by_id if known not in fresh]:
            self.remove(key_id)
        for secrets in fresh.values():
            self.add(*secrets)

    # Time ---------------------------------------------------------------------------------------------------------

    def next_end_s(self) -> float | None:
        """When the next secret ends that listeners have not heard of (Unix seconds); None when none ever does."""
        ends = (secret.expires_at_s for digest, secret in self._by_digest.items() if digest not in self._told)
        return min((end for end in ends if end is not None), default=None)

    def expire(self) -> None:
        """Tell the listeners, once, of what has ended by now; it stays known, so that it is refused as expired."""
        for digest, secret in [*self._by_digest.items()]:
            if digest in self._told or not self._is_over(secret):
                continue
            self._told.add(digest)
            key_id = secret.principal.key_id
            if self.is_live(key_id):
                self._tell_secret_ended(key_id, digest)
            else:
                self._tell_revoked(key_id)

    def _is_over(self, secret: LiveKey) -> bool:
        return secret.expires_at_s is not None and secret.expires_at_s <= self._now_s()

    def _forget(self, digest: str) -> None:
        del self._by_digest[digest]
        self._told.discard(digest)

    def _tell_revoked(self, key_id: str) -> None:
        for listener in tuple(self._listeners):
            listener(key_id)

    def _tell_secret_ended(self, key_id: str, digest: str) -> None:
        for listener in tuple(self._secret_listeners):
            listener(key_id, digest)


def _bare_key(credentials: str | None) -> str:
    if not credentials:
        raise UnauthenticatedError("There is no API key", remedy=_REMEDY)
    scheme, _, rest = credentials.partition(" ")
    key = rest.strip() if scheme.lower() == "bearer" else credentials.strip()
    if not is_key(key):
        raise UnauthenticatedError("This is not an API key", expected="`ek_` and 43 letters or digits", remedy=_REMEDY)
    return key
