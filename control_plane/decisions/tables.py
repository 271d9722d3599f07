"""Decisions and sealed streams."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime
from control_plane.decisions.records import DecisionStatus
from policies import FactValue


class DecisionRow(Base):
    """One answer's decision. There is no column for text, by design. Stream ids sort by time.

    terms: what it asked beside its mode, as `Decision.asked` gives it; NULL where that was not recorded.
    """

    __tablename__ = "decisions"

    stream_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    key_id: Mapped[str] = mapped_column(String(64), index=True)
    origin: Mapped[str] = mapped_column(String(64))
    facts: Mapped[dict[str, FactValue]] = mapped_column(JSON)
    mode: Mapped[str] = mapped_column(String(32))
    rule: Mapped[str] = mapped_column(String(160), index=True)
    reason: Mapped[str] = mapped_column(String(500))
    policy_digest: Mapped[str] = mapped_column(String(80), index=True)
    model: Mapped[str] = mapped_column(String(64))
    tier: Mapped[str] = mapped_column(String(80), index=True)
    fallbacks: Mapped[list[str]] = mapped_column(JSON)
    terms: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    status: Mapped[DecisionStatus] = mapped_column(String(16), index=True)
    last_tier: Mapped[str | None] = mapped_column(String(80))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finish: Mapped[str | None] = mapped_column(String(32))
    error_code: Mapped[str | None] = mapped_column(String(64))
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    waste_tokens: Mapped[int | None]
    first_token_s: Mapped[float | None]
    total_s: Mapped[float | None]
    timings_s: Mapped[dict[str, float] | None] = mapped_column(JSON)


class SealedStreamRow(Base):
    """A finished stream after its log was trimmed: the records as they were, and what they add up to."""

    __tablename__ = "sealed_streams"

    stream_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    request: Mapped[bytes] = mapped_column(LargeBinary)
    records: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    finish: Mapped[str] = mapped_column(String(32))
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    sealed_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
