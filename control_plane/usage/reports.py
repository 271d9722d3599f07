"""UsageReports: reading limits as they stand and the ledger, for operators and for a caller's own key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

import msgspec

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.usage.counters import Counters, shard_of
from control_plane.usage.ledger import Ledger
from control_plane.usage.limit_book import LimitBook
from control_plane.usage.limits import ScopeKind
from control_plane.usage.repository import LedgerRepository, UsageFilter, UsageKey
from control_plane.usage.schemas import LimitsView
from control_plane.usage.tables import UsageRow
from edgewise.wire.errors import CursorMalformedError

PAGE_MAX = 200


class UsageReports:
    """Reads only. What has just ended is written out first, so that it is seen."""

    def __init__(
        self,
        database: Database,
        book: LimitBook,
        counters: Counters,
        ledger: Ledger,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.book = book
        self._database = database
        self._counters = counters
        self._ledger = ledger
        self._now = now

    async def standing(self, kind: ScopeKind, name: str) -> LimitsView:
        """One key or tenant now. Raises KeyNotFoundError, LimitsUnavailableError."""
        tenant = await self.book.tenant_of(name) if kind == "key" else name
        return await self.standing_of(kind, name, tenant)

    async def standing_of(self, kind: ScopeKind, name: str, tenant: str) -> LimitsView:
        """The same where the tenant is known. Raises LimitsUnavailableError."""
        scope = self.book.scope(kind, name)
        return LimitsView.of(scope, await self._counters.standing(shard_of(tenant), scope.name))

    async def page(
        self, wanted: UsageFilter, *, after: str | None, limit: int
    ) -> tuple[Sequence[UsageRow], str | None]:
        """Rows of the ledger and the cursor of the next page. Raises CursorMalformedError."""
        await self._ledger.flush()
        async with self._database.reading() as session:
            rows = await LedgerRepository(session).page(wanted, after=_key(after), limit=limit)
        return rows, _cursor(rows[-1]) if len(rows) == limit else None

    async def today(self, key_id: str) -> Sequence[UsageRow]:
        """What a key has used on this UTC day."""
        day = self._now().date()
        rows, _ = await self.page(UsageFilter(key_id=key_id, since=day, until=day), after=None, limit=PAGE_MAX)
        return rows


def _cursor(row: UsageRow) -> str:
    return msgspec.json.encode((row.day, row.key_id, row.tenant, row.tier_kind, row.model)).hex()


def _key(cursor: str | None) -> UsageKey | None:
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(bytes.fromhex(cursor), type=tuple[date, str, str, str, str])
    except (ValueError, msgspec.DecodeError) as error:
        raise CursorMalformedError(
            "This page cursor is malformed",
            where="the query parameter `after`",
            expected="the `next` of the page before, as it stands",
            remedy="leave `after` out to start at the newest",
        ) from error
