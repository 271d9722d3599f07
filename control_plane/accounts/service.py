"""Accounts: making, listing and revoking keys; the ring in memory follows each change after its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from control_plane.accounts.keyring import KeyRing, LiveKey, Principal
from control_plane.accounts.keys import Role, UserTier, key_digest, new_key, shown_prefix
from control_plane.accounts.repository import KeyRepository
from control_plane.accounts.tables import ApiKeyRow
from control_plane.audit.service import SYSTEM, AuditTrail, utc_now
from control_plane.database import Database
from edgewise.ids import is_id, new_id
from edgewise.wire.errors import ConflictError, NotFoundError

DEFAULT_TENANT = "default"
FIRST_START = "edgewise.first-start"


@dataclass(frozen=True)
class KeyRequest:
    """What a new key shall be."""

    name: str
    roles: tuple[Role, ...]
    tenant: str = DEFAULT_TENANT
    user_tier: UserTier = "standard"
    device: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class IssuedKey:
    """A new key, the only time it is whole in memory; its repr hides it."""

    key: str = field(repr=False)
    row: ApiKeyRow


class Accounts:
    """The service behind /admin/v1/keys and the first start."""

    def __init__(
        self,
        database: Database,
        keyring: KeyRing,
        audit: AuditTrail,
        *,
        now: Callable[[], datetime] = utc_now,
        make_key: Callable[[], str] = new_key,
        make_id: Callable[[], str] = new_id,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell` is called after each change made here, so that other gateways `reload` it."""
        self.keyring = keyring
        self._tell_others = tell
        self._edits = 0
        self._loaded: object = None
        self._database = database
        self._audit = audit
        self._now = now
        self._make_key = make_key
        self._make_id = make_id

    async def load(self) -> None:
        """Fill the ring from SQL; again later, it takes in what other processes changed."""
        edits = -1
        while edits != self._edits:  # a key made or revoked here since the reading began is not undone by it
            edits = self._edits
            async with self._database.reading() as session:
                loaded = await KeyRepository(session).fingerprint()
                rows = await KeyRepository(session).unrevoked()
        self._loaded = loaded
        self.keyring.replace(_live(row) for row in rows)

    async def reload(self) -> None:
        """Take in what other processes changed; when nothing was, this costs one small query."""
        async with self._database.reading() as session:
            present = await KeyRepository(session).fingerprint()
        if present != self._loaded:
            await self.load()

    async def count(self) -> int:
        """Keys ever made; 0 means a first start."""
        async with self._database.reading() as session:
            return await KeyRepository(session).count()

    async def create(self, request: KeyRequest, by: Principal) -> IssuedKey:
        """Make a key. The caller shows it once; only its digest is kept."""
        key = self._make_key()
        (row,) = await self._keep([(request, key)], actor=by.key_id, created_by=by.key_id)
        return IssuedKey(key, row)

    async def register(self, keys: Sequence[tuple[KeyRequest, str]]) -> None:
        """Let in the keys that the first start wrote to its file: all of them or none."""
        await self._keep(keys, actor=SYSTEM, created_by=None)

    async def register_first(self, keys: Sequence[tuple[KeyRequest, str]]) -> bool:
        """The same at a first start; False, and nothing is let in, when another gateway was there before."""
        kept = await self._keep(keys, actor=SYSTEM, created_by=None, only_first=True)
        return bool(kept)

    async def page(
        self, *, tenant: str | None = None, before_id: str | None = None, limit: int = 50
    ) -> Sequence[ApiKeyRow]:
        """Keys, newest first, revoked ones too."""
        async with self._database.reading() as session:
            return await KeyRepository(session).page(tenant=tenant, before_id=before_id, limit=limit)

    async def revoke(self, key_id: str, by: Principal) -> ApiKeyRow:
        """End a key now; again, it changes nothing. Raises NotFoundError; ConflictError for the last operator key."""
        async with self._database.session(lock="edgewise.keys") as session:
            keys = KeyRepository(session)
            row = await self._existing(keys, key_id)
            if row.revoked_at is None:
                self._refuse_lock_out(row, await keys.unrevoked())
                row.revoked_at = self._now()
                roles = ",".join(row.roles)
                self._audit.record(session, actor=by.key_id, action="key.revoke", target=key_id, before=roles)
        self.keyring.remove(key_id)
        self._edited()
        return row

    async def rotate(self, key_id: str, overlap_s: float, by: Principal) -> IssuedKey:
        """Give a key a new secret. Its id stays, and with it its streams, limits and bindings; the secret before works
        for `overlap_s` more, one before that no longer. Raises NotFoundError; ConflictError for a key that has ended.
        """
        secret, now = self._make_key(), self._now()
        async with self._database.session() as session:
            row = await self._existing(KeyRepository(session), key_id)
            if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
                raise ConflictError(
                    "This key has ended, so there is nothing to rotate",
                    where=f"key {key_id}",
                    remedy="make a new one: `edgewise keys create` or POST /admin/v1/keys",
                )
            row.old_digest, row.old_expires_at = row.digest, now + timedelta(seconds=overlap_s)
            row.digest, row.prefix, row.rotated_at = key_digest(secret), shown_prefix(secret), now
            until = row.old_expires_at.isoformat(timespec="seconds")
            self._audit.record(
                session, actor=by.key_id, action="key.rotate", target=key_id, after=f"overlap to {until}"
            )
        self.keyring.add(*_live(row))
        self._edited()
        return IssuedKey(secret, row)

    async def revoke_first_keys(self) -> None:
        """End the keys of the first start, whose file was lost (see `rotate`)."""
        async with self._database.session() as session:
            rows = [row for row in await KeyRepository(session).unrevoked() if row.created_by is None]
            for row in rows:
                row.revoked_at = self._now()
                self._audit.record(session, actor=SYSTEM, action="key.revoke", target=row.id)
        for row in rows:
            self.keyring.remove(row.id)
        self._edited()

    def _edited(self) -> None:
        """The ring follows a commit made here."""
        self._edits += 1
        self._tell_others()

    async def _existing(self, keys: KeyRepository, key_id: str) -> ApiKeyRow:
        row = await keys.get(key_id) if is_id(key_id) else None
        if row is None:
            remedy = "list the keys: `edgewise keys list` or /admin/v1/keys"
            raise NotFoundError(f"There is no key {key_id[:64]}", remedy=remedy)
        return row

    async def _keep(
        self,
        keys: Sequence[tuple[KeyRequest, str]],
        *,
        actor: str,
        created_by: str | None,
        only_first: bool = False,
    ) -> list[ApiKeyRow]:
        rows = [self._row(request, key, created_by) for request, key in keys]
        async with self._database.session(lock=FIRST_START if only_first else "") as session:
            if only_first and await KeyRepository(session).count():
                return []
            for row in rows:
                KeyRepository(session).add(row)
                self._audit.record(session, actor=actor, action="key.create", target=row.id, after=",".join(row.roles))
        for row in rows:
            self.keyring.add(*_live(row))
        self._edited()
        return rows

    def _row(self, request: KeyRequest, key: str, created_by: str | None) -> ApiKeyRow:
        return ApiKeyRow(
            id=self._make_id(),
            digest=key_digest(key),
            prefix=shown_prefix(key),
            name=request.name,
            tenant=request.tenant,
            user_tier=request.user_tier,
            roles=sorted(set(request.roles)),
            device=request.device,
            created_at=self._now(),
            created_by=created_by,
            expires_at=request.expires_at,
        )

    def _refuse_lock_out(self, row: ApiKeyRow, unrevoked: Sequence[ApiKeyRow]) -> None:
        now = self._now()
        others = [other for other in unrevoked if other.id != row.id and "operator" in other.roles]
        if "operator" in row.roles and not any(o.expires_at is None or o.expires_at > now for o in others):
            raise ConflictError(
                "This is the last operator key that is live: without it nobody could administer this installation",
                where=f"key {row.id}",
                remedy="create another operator key first, then revoke this one with it",
            )


def _live(row: ApiKeyRow) -> list[LiveKey]:
    """The key's secrets: the present one, then an outgoing one."""
    principal = Principal(row.id, row.tenant, row.user_tier, frozenset(row.roles), row.device)
    end_s = row.expires_at.timestamp() if row.expires_at else None
    secrets = [LiveKey(row.digest, principal, end_s)]
    if row.old_digest and row.old_expires_at:
        old_s = row.old_expires_at.timestamp()
        secrets.append(LiveKey(row.old_digest, principal, old_s if end_s is None else min(old_s, end_s)))
    return secrets
