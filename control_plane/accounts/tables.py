"""The table of API keys: digests, never keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.accounts.keys import Role, UserTier
from control_plane.database import Base, UtcDateTime


class ApiKeyRow(Base):
    """A key at rest. `created_by` is the key id of the operator; None for the keys of the first start.

    `old_digest` is the secret before the last rotation, live until `old_expires_at`.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(100))
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    user_tier: Mapped[UserTier] = mapped_column(String(16))
    roles: Mapped[list[Role]] = mapped_column(JSON)
    device: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str | None] = mapped_column(String(26))
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    rotated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    old_digest: Mapped[str | None] = mapped_column(String(64))
    old_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
