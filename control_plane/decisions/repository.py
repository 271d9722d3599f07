"""Queries of decisions and sealed streams."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Text, cast, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.database import insert_ignore
from control_plane.decisions.tables import DecisionRow, SealedStreamRow

Grouping = Literal["mode", "rule", "tier", "status", "model", "origin"]
Timing = Literal["first_token_s", "total_s"]
GROUPS_MAX = 1000


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """What a replay reads of a decision; `facts` and `terms` are JSON, no `terms` where they were not recorded.
    `tier` spoke last; no tokens while it speaks."""

    stream_id: str
    facts: str
    mode: str
    rule: str
    policy_digest: str
    terms: str | None
    tier: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True)
class DecisionFilter:
    """Which decisions to list; None means any. `tier` matches the tier chosen first or the one that spoke last;
    `policy_digest` matches its beginning too."""

    since: datetime | None = None
    until: datetime | None = None
    tier: str | None = None
    rule: str | None = None
    tenant: str | None = None
    stream_id: str | None = None
    origin: str | None = None
    status: str | None = None
    key_id: str | None = None
    mode: str | None = None
    model: str | None = None
    policy_digest: str | None = None
    min_first_token_s: float | None = None
    min_total_s: float | None = None


_DECISIONS = DecisionRow.metadata.tables[DecisionRow.__tablename__]


class DecisionRepository:
    """Writes batches and reads pages inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def known(
        self, stream_ids: Collection[str], *, origin: str | None = None, tenant: str | None = None
    ) -> set[str]:
        """Those of `stream_ids` that have a row, of that origin and tenant where they are given."""
        query = select(DecisionRow.stream_id).where(DecisionRow.stream_id.in_(stream_ids))
        for column, value in ((DecisionRow.origin, origin), (DecisionRow.tenant, tenant)):
            if value is not None:
                query = query.where(column == value)
        return set((await self._session.scalars(query)).all())

    async def insert_new(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Insert rows, or none of them (then False) when one is there already: cheaper than to ask before."""
        if not rows:
            return True
        try:
            async with self._session.begin_nested():
                await self.insert(rows)
        except IntegrityError:
            return False
        return True

    async def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """New rows, one statement per set of columns; plain rows, since objects would cost ten times as much."""
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in rows:
            alike.setdefault(tuple(row), []).append(dict(row))
        for together in alike.values():
            await self._session.execute(insert(_DECISIONS), together)

    async def update(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Change known rows by their stream_id, one statement per set of columns."""
        if rows:
            await self._session.execute(update(DecisionRow), [dict(row) for row in rows])

    async def get(self, stream_id: str) -> DecisionRow | None:
        """One decision."""
        return await self._session.get(DecisionRow, stream_id)

    async def page(self, wanted: DecisionFilter, *, before_id: str | None, limit: int) -> Sequence[DecisionRow]:
        """Up to `limit` decisions with an id below `before_id`, newest first."""
        query = select(DecisionRow).where(*_conditions(wanted)).order_by(DecisionRow.stream_id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(DecisionRow.stream_id < before_id)
        return (await self._session.scalars(query)).all()

    async def of(self, stream_ids: Collection[str]) -> Sequence[DecisionRow]:
        """The decisions of these streams, in no order."""
        return (await self._session.scalars(select(DecisionRow).where(DecisionRow.stream_id.in_(stream_ids)))).all()

    async def recorded(self, wanted: DecisionFilter, *, before_id: str | None, limit: int) -> Sequence[RecordedRow]:
        """As `page`, but only what a replay reads; the facts stay JSON text."""
        columns = (
            DecisionRow.stream_id,
            cast(DecisionRow.facts, Text),
            DecisionRow.mode,
            DecisionRow.rule,
            DecisionRow.policy_digest,
            cast(DecisionRow.terms, Text),
            DecisionRow.last_tier,
            DecisionRow.prompt_tokens,
            DecisionRow.completion_tokens,
        )
        query = select(*columns).where(*_conditions(wanted)).order_by(DecisionRow.stream_id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(DecisionRow.stream_id < before_id)
        return [RecordedRow(*row) for row in (await self._session.execute(query)).all()]

    # Summaries ----------------------------------------------------------------------------------------------------

    async def counts(self, wanted: DecisionFilter, column: Grouping) -> dict[str, int]:
        """How many decisions have each value of a column, the most frequent first."""
        spoke = func.coalesce(DecisionRow.last_tier, DecisionRow.tier)
        by = spoke if column == "tier" else getattr(DecisionRow, column)
        number = func.count()
        query = (
            select(by, number).where(*_conditions(wanted)).group_by(by).order_by(number.desc(), by).limit(GROUPS_MAX)
        )
        return {str(value): count for value, count in (await self._session.execute(query)).all()}

    async def quantiles(
        self, wanted: DecisionFilter, column: Timing, shares: Sequence[float]
    ) -> tuple[int, list[float | None]]:
        """How many decisions have this timing, and its nearest-rank quantiles in seconds (None for none at all)."""
        value = DecisionRow.first_token_s if column == "first_token_s" else DecisionRow.total_s
        conditions = (*_conditions(wanted), value.is_not(None))
        count = await self._session.scalar(select(func.count()).select_from(DecisionRow).where(*conditions)) or 0
        found: list[float | None] = []
        for share in shares:
            rank = max(0, math.ceil(share * count) - 1)
            query = select(value).where(*conditions).order_by(value).offset(rank).limit(1)
            found.append(await self._session.scalar(query) if count else None)
        return count, found


def _conditions(wanted: DecisionFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (DecisionRow.rule, wanted.rule),
            (DecisionRow.tenant, wanted.tenant),
            (DecisionRow.stream_id, wanted.stream_id),
            (DecisionRow.origin, wanted.origin),
            (DecisionRow.status, wanted.status),
            (DecisionRow.key_id, wanted.key_id),
            (DecisionRow.mode, wanted.mode),
            (DecisionRow.model, wanted.model),
        )
        if value is not None
    ]
    if wanted.since is not None:
        found.append(DecisionRow.at >= wanted.since)
    if wanted.until is not None:
        found.append(DecisionRow.at < wanted.until)
    if wanted.tier is not None:
        found.append(or_(DecisionRow.tier == wanted.tier, DecisionRow.last_tier == wanted.tier))
    if wanted.policy_digest is not None:
        found.append(DecisionRow.policy_digest.startswith(wanted.policy_digest, autoescape=True))
    if wanted.min_first_token_s is not None:
        found.append(DecisionRow.first_token_s >= wanted.min_first_token_s)
    if wanted.min_total_s is not None:
        found.append(DecisionRow.total_s >= wanted.min_total_s)
    return found


class SealedRepository:
    """Sealed streams by id."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, row: SealedStreamRow) -> None:
        """Part of the caller's transaction."""
        self._session.add(row)

    async def add_missing(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert those that are not there yet; how many that were."""
        return await insert_ignore(self._session, SealedStreamRow, rows)

    async def digests(self, stream_ids: Sequence[str]) -> dict[str, str]:
        """The sha256 of the records of each that is there."""
        query = select(SealedStreamRow.stream_id, SealedStreamRow.sha256).where(
            SealedStreamRow.stream_id.in_(stream_ids)
        )
        return {row.stream_id: row.sha256 for row in await self._session.execute(query)}

    async def get(self, stream_id: str) -> SealedStreamRow | None:
        """One sealed stream."""
        return await self._session.get(SealedStreamRow, stream_id)

    async def delete_before(self, moment: datetime) -> None:
        """Forget what was sealed before `moment`."""
        await self._session.execute(delete(SealedStreamRow).where(SealedStreamRow.sealed_at < moment))
