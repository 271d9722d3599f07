"""Model versions and the history of which one was active."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime


class ModelVersionRow(Base):
    """A registered manifest under a public name; one name may have many versions, one version many names.

    `findings` is the text of its findings.json, `gates` how it stood when it was registered (gates.py).
    """

    __tablename__ = "model_versions"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tier: Mapped[str] = mapped_column(String(16))
    format: Mapped[str] = mapped_column(String(32))
    context_tokens: Mapped[int]
    weights_digest: Mapped[str] = mapped_column(String(64))
    tokenizer_digest: Mapped[str] = mapped_column(String(64))
    template_digest: Mapped[str] = mapped_column(String(64))
    directory: Mapped[str | None] = mapped_column(String(1024))
    manifest: Mapped[str] = mapped_column(Text)
    card: Mapped[str | None] = mapped_column(Text)
    findings: Mapped[str | None] = mapped_column(Text)
    gates: Mapped[str] = mapped_column(String(16), default="unjudged", server_default="unjudged")
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    registered_by: Mapped[str] = mapped_column(String(64))


class ModelActivationRow(Base):
    """One moment at which a version became the one wanted on a tier; the newest row of (name, tier, tenant) is the
    present. `version_id` is None where nothing is wanted any more, `tenant` is empty for all tenants.

    `below_id` is the activation that a roll back returns to, as with policies: activations form a stack.
    """

    __tablename__ = "model_activations"
    __table_args__ = (Index(None, "name", "tier", "tenant"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    tier: Mapped[str] = mapped_column(String(16))
    tenant: Mapped[str] = mapped_column(String(64))
    version_id: Mapped[str | None] = mapped_column(String(64))
    required: Mapped[bool]
    below_id: Mapped[int | None] = mapped_column(ForeignKey("model_activations.id"))
    action: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
