"""Accounts: making, listing and revoking keys; the ring in memory follows each change after its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from control_plane.accounts.keyring import KeyRing, LiveKey, Principal
from control_plane.accounts.keys import Role, UserTier, key_digest, new_key, shown_prefix
from control_plane.accounts.repository import KeyRepository
from control_plane.accounts.tables import ApiKeyRow
from control_plane.audit.service import SYSTEM, AuditTrail, utc_now
from control_plane.database import Database
from edgewise.ids import is_id, new_id
from edgewise.wire.errors import ConflictError, NotFoundError

DEFAULT_TENANT = "default"


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
    ) -> None:
        self.keyring = keyring
        self._database = database
        self._audit = audit
        self._now = now
        self._make_key = make_key
        self._make_id = make_id

    async def load(self) -> None:
        """Fill the ring from SQL; again later, it takes in what other processes changed."""
        async with self._database.reading() as session:
            rows = await KeyRepository(session).unrevoked()
        self.keyring.replace(_live(row) for row in rows)

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

    async def page(
        self, *, tenant: str | None = None, before_id: str | None = None, limit: int = 50
    ) -> Sequence[ApiKeyRow]:
        """Keys, newest first, revoked ones too."""
        async with self._database.reading() as session:
            return await KeyRepository(session).page(tenant=tenant, before_id=before_id, limit=limit)

    async def revoke(self, key_id: str, by: Principal) -> ApiKeyRow:
        """End a key now; again, it changes nothing. Raises NotFoundError; ConflictError for the last operator key."""
        async with self._database.session() as session:
            keys = KeyRepository(session)
            row = await keys.get(key_id) if is_id(key_id) else None
            if row is None:
                raise NotFoundError(f"There is no key {key_id}", remedy="list the keys at /admin/v1/keys")
            if row.revoked_at is None:
                self._refuse_lock_out(row, await keys.unrevoked())
                row.revoked_at = self._now()
                self._audit.record(session, actor=by.key_id, action="key.revoke", target=key_id)
        self.keyring.remove(key_id)
        return row

    async def revoke_first_keys(self) -> None:
        """End the keys of the first start, whose file was lost (see `rotate`)."""
        async with self._database.session() as session:
            rows = [row for row in await KeyRepository(session).unrevoked() if row.created_by is None]
            for row in rows:
                row.revoked_at = self._now()
                self._audit.record(session, actor=SYSTEM, action="key.revoke", target=row.id)
        for row in rows:
            self.keyring.remove(row.id)

    async def _keep(
        self, keys: Sequence[tuple[KeyRequest, str]], *, actor: str, created_by: str | None
    ) -> list[ApiKeyRow]:
        rows = [self._row(request, key, created_by) for request, key in keys]
        async with self._database.session() as session:
            for row in rows:
                KeyRepository(session).add(row)
                self._audit.record(session, actor=actor, action="key.create", target=row.id, after=",".join(row.roles))
        for row in rows:
            self.keyring.add(_live(row))
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


def _live(row: ApiKeyRow) -> LiveKey:
    principal = Principal(row.id, row.tenant, row.user_tier, frozenset(row.roles), row.device)
    return LiveKey(row.digest, principal, row.expires_at.timestamp() if row.expires_at else None)
