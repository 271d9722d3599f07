"""The table of what operators wish of nodes. Connections are in memory alone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime


class NodeWishRow(Base):
    """What holds for a node whenever it is connected: whether it is drained, and labels that override its own."""

    __tablename__ = "node_wishes"

    node_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    drained: Mapped[bool]
    labels: Mapped[dict[str, str]] = mapped_column(JSON)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(String(64))
