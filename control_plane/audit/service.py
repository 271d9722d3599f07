"""AuditTrail: one line per change, in the transaction of the change; reading back for the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.origin import request_address
from control_plane.audit.repository import AuditFilter, AuditRepository
from control_plane.audit.tables import AuditRow
from control_plane.database import Database
from control_plane.text import clip

SHOWN_CHARS = 160
EXPORT_PAGE = 500
SYSTEM = "system"
"""The actor of what the control plane does by itself, such as the first start."""


def utc_now() -> datetime:
    """The present moment, with its zone."""
    return datetime.now(UTC)


class AuditTrail:
    """Writes and reads the audit log."""

    def __init__(self, database: Database, *, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._now = now

    def record(
        self,
        session: AsyncSession,
        *,
        actor: str,
        action: str,
        target: str,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        """Add an entry to the caller's transaction: it is there if and only if the change is.

        The client's address is taken from the request that is being answered. Secrets never get here.
        """
        row = AuditRow(
            at=self._now(),
            actor=actor,
            action=action,
            target=clip(target, SHOWN_CHARS),
            before=before and clip(before, SHOWN_CHARS),
            after=after and clip(after, SHOWN_CHARS),
            address=request_address(),
        )
        AuditRepository(session).add(row)

    async def note(
        self, *, actor: str, action: str, target: str, before: str | None = None, after: str | None = None
    ) -> None:
        """An entry for something that changes nothing in SQL, such as reading a text or cancelling a stream."""
        async with self._database.session() as session:
            self.record(session, actor=actor, action=action, target=target, before=before, after=after)

    async def page(
        self, *, before_id: int | None = None, limit: int = 50, action: str | None = None, target: str | None = None
    ) -> Sequence[AuditRow]:
        """Entries, newest first, older than `before_id`."""
        return await self.search(AuditFilter(action=action, target=target), before_id=before_id, limit=limit)

    async def search(self, wanted: AuditFilter, *, before_id: int | None = None, limit: int = 50) -> Sequence[AuditRow]:
        """Entries that match, newest first, older than `before_id`."""
        async with self._database.reading() as session:
            return await AuditRepository(session).page(wanted, before_id=before_id, limit=limit)

    async def pages(self, wanted: AuditFilter) -> AsyncIterator[Sequence[AuditRow]]:
        """All that match, newest first, a page and a short transaction at a time."""
        below: int | None = None
        while rows := await self.search(wanted, before_id=below, limit=EXPORT_PAGE):
            yield rows
            below = rows[-1].id
