"""Queries of limits and of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, delete, func, insert, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.accounts.tables import ApiKeyRow
from control_plane.statements import Insert, conflict_insert, insert_for
from control_plane.usage.tables import ChargeRow, EpochRow, LimitsRow, UsageRow

COUNTS = ("requests", "refused", "prompt_tokens", "completion_tokens", "waste_tokens", "cost_micros")
IDS_MAX = 500
UsageKey = tuple[date, str, str, str, str]
"""The order of pages: day, key, tenant, kind of tier, model."""


@dataclass(frozen=True)
class UsageFilter:
    """Which rows of the ledger; None means any. `since` and `until` are days, both included."""

    key_id: str | None = None
    tenant: str | None = None
    since: date | None = None
    until: date | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter as SQL."""
        wanted: list[ColumnElement[bool]] = []
        if self.key_id is not None:
            wanted.append(UsageRow.key_id == self.key_id)
        if self.tenant is not None:
            wanted.append(UsageRow.tenant == self.tenant)
        if self.since is not None:
            wanted.append(UsageRow.day >= self.since)
        if self.until is not None:
            wanted.append(UsageRow.day <= self.until)
        return wanted


class LimitsRepository:
    """Limits by scope, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, scope: str) -> LimitsRow | None:
        """One row, for this transaction to change."""
        return await self._session.get(LimitsRow, scope, with_for_update=True)

    async def tenant_of(self, key_id: str) -> str | None:
        """The tenant of an API key; None when there is no such key."""
        return await self._session.scalar(select(ApiKeyRow.tenant).where(ApiKeyRow.id == key_id))

    def add(self, row: LimitsRow) -> None:
        """Part of the caller's transaction."""
        self._session.add(row)

    async def all(self) -> Sequence[tuple[LimitsRow, str | None]]:
        """Every row, cleared ones too, with the tenant of its key; None for a tenant's own."""
        key_id = func.substr(LimitsRow.scope, len("key:") + 1)
        keys = ApiKeyRow.id == key_id, LimitsRow.scope.startswith("key:")
        rows = await self._session.execute(select(LimitsRow, ApiKeyRow.tenant).outerjoin(ApiKeyRow, and_(*keys)))
        return [(row, tenant) for row, tenant in rows]


@cache
def _adding(dialect: str) -> Insert:
    """Adds to the sums of a day. Made once for each database: making it costs far more than sending it."""
    insert = insert_for(dialect, UsageRow)
    sums = {name: getattr(UsageRow, name) + insert.excluded[name] for name in COUNTS}
    return insert.on_conflict_do_update(index_elements=_KEY_NAMES, set_=sums)


class LedgerRepository:
    """The ledger, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_charges(self, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """Store charges; the stream ids of those that were not there yet. Nearly always that is all of them, which the
        plain statement finds out at a third of the cost."""
        if not rows:
            return set()
        plain = [dict(row) for row in rows]
        try:
            async with self._session.begin_nested():
                await self._session.execute(insert(_CHARGES), plain)
        except IntegrityError:
            return await self._add_new_charges(plain)
        return {row["stream_id"] for row in plain}

    async def _add_new_charges(self, rows: list[dict[str, Any]]) -> set[str]:
        added: set[str] = set()
        for start in range(0, len(rows), IDS_MAX):
            fresh = conflict_insert(self._session, ChargeRow).on_conflict_do_nothing().returning(ChargeRow.stream_id)
            added.update((await self._session.execute(fresh, rows[start : start + IDS_MAX])).scalars().all())
        return added

    async def add_usage(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add to the sums by day; a row that is not there begins at nothing."""
        if rows:
            adding = _adding(self._session.get_bind().dialect.name)
            await self._session.execute(adding, [dict(row) for row in rows])

    async def total(self, wanted: UsageFilter) -> tuple[int, int]:
        """Tokens and cost of everything that fits."""
        tokens = func.coalesce(func.sum(UsageRow.prompt_tokens + UsageRow.completion_tokens), 0)
        cost = func.coalesce(func.sum(UsageRow.cost_micros), 0)
        found = (await self._session.execute(select(tokens, cost).where(*wanted.conditions()))).one()
        return int(found[0]), int(found[1])

    async def charges(self, stream_ids: Collection[str]) -> Sequence[ChargeRow]:
        """Those of `stream_ids` that are in the ledger."""
        ids, found = list(stream_ids), list[ChargeRow]()
        for start in range(0, len(ids), IDS_MAX):
            query = select(ChargeRow).where(ChargeRow.stream_id.in_(ids[start : start + IDS_MAX]))
            found += (await self._session.scalars(query)).all()
        return found

    async def page(self, wanted: UsageFilter, *, after: UsageKey | None, limit: int) -> Sequence[UsageRow]:
        """Up to `limit` rows, the newest day first."""
        query = select(UsageRow).where(*wanted.conditions()).order_by(*(column.desc() for column in _KEY)).limit(limit)
        if after is not None:
            query = query.where(tuple_(*_KEY) < tuple_(*after))
        return (await self._session.scalars(query)).all()

    async def prune(self, before: date, limit: int) -> int:
        """Forget up to `limit` charges of answers before that day; the sums stay. Returns how many went."""
        old = select(ChargeRow.stream_id).where(ChargeRow.day < before).limit(limit)
        gone = await self._session.execute(delete(ChargeRow).where(ChargeRow.stream_id.in_(old)))
        return cast("CursorResult[Any]", gone).rowcount

    async def put_epoch(self, shard: int, name: str, since: datetime) -> bool:
        """Remember a life of a shard's counters; whether there was one before."""
        row = {"epoch": name, "since": since}
        insert = conflict_insert(self._session, EpochRow).values({"shard": shard, **row})
        before = await self._session.scalar(select(EpochRow.epoch).where(EpochRow.shard == shard))
        await self._session.execute(insert.on_conflict_do_update(index_elements=["shard"], set_=row))
        return before is not None


_CHARGES = ChargeRow.metadata.tables[ChargeRow.__tablename__]
_KEY = (UsageRow.day, UsageRow.key_id, UsageRow.tenant, UsageRow.tier_kind, UsageRow.model)
_KEY_NAMES = [column.key for column in _KEY]
