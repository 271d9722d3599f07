"""HTTP shapes of /admin/v1/audit."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class AuditView(BaseModel):
    """One change: who (a key id, or `system`), what, on what, the digests or ids before and after, and from where."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    before: str | None
    after: str | None
    address: str | None


class AuditPage(BaseModel):
    """Entries, newest first."""

    items: list[AuditView]
    next: int | None
