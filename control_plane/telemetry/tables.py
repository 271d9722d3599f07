"""The telemetry table."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime
from edgewise.wire.frames import Scalar


class TelemetryRow(Base):
    """One record of a node. `id` is the order of arrival, `seq` the node's own number; `at` is the node's clock."""

    __tablename__ = "telemetry"
    __table_args__ = (UniqueConstraint("node_id", "stream", "seq"), Index(None, "node_id", "id"))

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    node_id: Mapped[str] = mapped_column(String(64))
    stream: Mapped[str] = mapped_column(String(256))
    seq: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(64))
    values: Mapped[dict[str, Scalar]] = mapped_column(JSON)
