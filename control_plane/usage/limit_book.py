"""LimitBook: every limit in memory for the hot path; changes go to SQL with an audit entry, then to all gateways."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.accounts.keyring import Principal
from control_plane.audit.service import AuditTrail, utc_now
from control_plane.database import Database
from control_plane.gateways.changes import Changes, LocalChanges
from control_plane.usage.counters import Scope, shard_of
from control_plane.usage.errors import KeyNotFoundError
from control_plane.usage.limits import FIELDS, NO_LIMITS, Limits, ScopeKind, scope_name
from control_plane.usage.repository import LimitsRepository
from control_plane.usage.tables import LimitsRow
from edgewise.ids import is_id
from edgewise.wire.errors import EdgewiseError

logger = logging.getLogger(__name__)


class Loader(Protocol):
    """Has the counters of a scope know what was spent before its budgets are asked."""

    async def ready(self, shard: int, scope: Scope) -> None:
        """Now. Raises LimitsUnavailableError."""
        ...

    def soon(self, shard: int, scope: Scope) -> None:
        """A little later; does not wait."""
        ...


class LimitBook:
    """The service behind /admin/v1/limits. A change holds for this gateway's next request."""

    def __init__(
        self,
        database: Database,
        audit: AuditTrail,
        loader: Loader,
        changes: Changes | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._audit = audit
        self._loader = loader
        self._changes: Changes = changes or LocalChanges()
        self._now = now
        self._scopes: dict[str, Scope] = {}
        self._shards: dict[str, int] = {}
        self._changes.on("limits", self.load)

    async def load(self) -> None:
        """Read all limits from SQL; again later, it takes in what other gateways changed."""
        async with self._database.reading() as session:
            rows = await LimitsRepository(session).all()
        fresh = {row.scope: _scope(row) for row, _ in rows}
        newer = {name: scope for name, scope in self._scopes.items() if _is_newer(scope, fresh.get(name))}
        before, self._scopes = self._scopes, fresh | newer  # what we committed after the snapshot began stays
        self._shards |= {row.scope: shard_of(_tenant(row, tenant)) for row, tenant in rows}
        for name, scope in fresh.items():
            if scope.limits and _is_newer(scope, before.get(name)):
                self._loader.soon(self._shards[name], scope)

    def shards(self) -> set[int]:
        """Those in which anything is limited."""
        return {self._shards[name] for name, scope in self._scopes.items() if scope.limits}

    def budgeted(self, shard: int) -> list[Scope]:
        """The keys and tenants of a shard that have a budget."""
        own = (scope for name, scope in self._scopes.items() if self._shards[name] == shard)
        return [scope for scope in own if scope.limits.budgeted]

    def scope(self, kind: ScopeKind, name: str) -> Scope:
        """A key or a tenant as it is limited now."""
        full = scope_name(kind, name)
        return self._scopes.get(full) or Scope(full, NO_LIMITS)

    def limited(self, key_id: str, tenant: str) -> tuple[Scope, Scope] | None:
        """Key and tenant, when at least one of them is limited."""
        key, of_tenant = self._scopes.get(f"key:{key_id}"), self._scopes.get(f"tenant:{tenant}")
        if not (key and key.limits) and not (of_tenant and of_tenant.limits):
            return None
        return self.scope("key", key_id), self.scope("tenant", tenant)

    async def tenant_of(self, key_id: str) -> str:
        """The tenant of a key. Raises KeyNotFoundError."""
        async with self._database.reading() as session:
            return await _tenant_of(session, key_id)

    async def change(self, kind: ScopeKind, name: str, limits: Limits, by: Principal) -> Limits:
        """Replace all limits of a key or a tenant; `NO_LIMITS` clears them. Raises KeyNotFoundError."""
        full = scope_name(kind, name)
        async with self._database.session() as session:
            tenant = await _tenant_of(session, name) if kind == "key" else name
            row = await LimitsRepository(session).get(full)
            if row is None:
                row = LimitsRow(scope=full, revision=0)
                LimitsRepository(session).add(row)
            before = _limits(row)
            for field in FIELDS:
                setattr(row, field, getattr(limits, field))
            row.revision, row.updated_at, row.updated_by = row.revision + 1, self._now(), by.key_id
            action = "limits.set" if limits else "limits.clear"
            shown = {"before": _shown(before), "after": _shown(limits)}
            self._audit.record(session, actor=by.key_id, action=action, target=full, **shown)
        await self._publish(_scope(row), shard_of(tenant))
        return limits

    async def _publish(self, scope: Scope, shard: int) -> None:
        """Have the counters know first what was spent: then no request of any gateway meets a budget that is not
        loaded. What cannot be loaded now is refused until it can."""
        try:
            if scope.limits:
                await self._loader.ready(shard, scope)
        except EdgewiseError as error:
            logger.warning("a budget cannot be asked yet: %s", error, extra={"scope": scope.name})
            self._loader.soon(shard, scope)
        if _is_newer(scope, self._scopes.get(scope.name)):
            self._shards[scope.name] = shard
            self._scopes[scope.name] = scope
        self._changes.tell("limits")


async def _tenant_of(session: AsyncSession, key_id: str) -> str:
    tenant = await LimitsRepository(session).tenant_of(key_id) if is_id(key_id) else None
    if tenant is None:
        raise KeyNotFoundError(key_id)
    return tenant


def _tenant(row: LimitsRow, of_key: str | None) -> str:
    return of_key or row.scope.partition(":")[2]


def _is_newer(scope: Scope, other: Scope | None) -> bool:
    return other is None or scope.revision > other.revision


def _limits(row: LimitsRow) -> Limits:
    return Limits(**{field: getattr(row, field) for field in FIELDS})


def _scope(row: LimitsRow) -> Scope:
    return Scope(row.scope, _limits(row), row.revision)


def _shown(limits: Limits) -> str | None:
    return msgspec.json.encode(limits).decode() if limits else None
