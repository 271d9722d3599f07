"""The audit table. No update and no delete: the mapper refuses both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, event
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime
from control_plane.errors import AppendOnlyError


class AuditRow(Base):
    """One change. `before` and `after` are digests or ids of what was replaced and what replaced it; `address` is the
    client address of the request, None for what the control plane does by itself."""

    __tablename__ = "audit_entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    actor: Mapped[str] = mapped_column(String(64), index=True)
    action: Mapped[str] = mapped_column(String(64), index=True)
    target: Mapped[str] = mapped_column(String(160), index=True)
    before: Mapped[str | None] = mapped_column(String(160))
    after: Mapped[str | None] = mapped_column(String(160))
    address: Mapped[str | None] = mapped_column(String(64))


@event.listens_for(AuditRow, "before_update")
@event.listens_for(AuditRow, "before_delete")
def _refuse(_mapper: Any, _connection: Any, row: AuditRow) -> None:
    raise AppendOnlyError(f"Audit entry {row.id} cannot be changed", expected="audit entries are only ever added")
