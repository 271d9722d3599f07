"""The table of model versions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime


class ModelVersionRow(Base):
    """A registered manifest under a public name; one name may have many versions, one version many names."""

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
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    registered_by: Mapped[str] = mapped_column(String(64))
