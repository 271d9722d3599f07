"""AuditTrail: one line per change, in the transaction of the change; reading back for the admin API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.repository import AuditRepository
from control_plane.audit.tables import AuditRow
from control_plane.database import Database

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
        """Add an entry to the caller's transaction: it is there if and only if the change is."""
        AuditRepository(session).add(
            AuditRow(at=self._now(), actor=actor, action=action, target=target, before=before, after=after)
        )

    async def page(
        self, *, before_id: int | None = None, limit: int = 50, action: str | None = None, target: str | None = None
    ) -> Sequence[AuditRow]:
        """Entries, newest first, older than `before_id`."""
        async with self._database.reading() as session:
            return await AuditRepository(session).page(before_id=before_id, limit=limit, action=action, target=target)
