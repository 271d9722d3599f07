"""Policy versions and the history of what was active."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from control_plane.database import Base, UtcDateTime


class PolicyVersionRow(Base):
    """A policy's text as it was saved; never changed."""

    __tablename__ = "policy_versions"

    version: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(80), index=True)
    text: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(String(500))
    author: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PolicyActivationRow(Base):
    """One moment at which a version became active; the newest row is the present.

    `below_id` is the activation that a roll back returns to, so that activations form a stack: 1, 2, 3, back, back
    leads to 1, not to 3 again.
    """

    __tablename__ = "policy_activations"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(ForeignKey("policy_versions.version"), index=True)
    below_id: Mapped[int | None] = mapped_column(ForeignKey("policy_activations.id"))
    action: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    policy: Mapped[PolicyVersionRow] = relationship(lazy="raise")
