"""Limits, the ledger by day, the charge of each answer, and the lives of the counters."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime


class LimitsRow(Base):
    """The limits of `key:<id>` or `tenant:<name>`. A cleared row stays, so that `revision` only grows."""

    __tablename__ = "usage_limits"

    scope: Mapped[str] = mapped_column(String(80), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    requests_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    concurrent: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_day: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_month: Mapped[int | None] = mapped_column(BigInteger)
    tokens_total: Mapped[int | None] = mapped_column(BigInteger)
    cost_per_day: Mapped[int | None] = mapped_column(BigInteger)
    cost_per_month: Mapped[int | None] = mapped_column(BigInteger)
    cost_total: Mapped[int | None] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_by: Mapped[str] = mapped_column(String(64))


class UsageRow(Base):
    """What one key used on one UTC day of one kind of tier and one model. No tier: refused, or nobody spoke."""

    __tablename__ = "usage"
    __table_args__ = (Index("ix_usage_tenant", "tenant", "day"), Index("ix_usage_day", "day"))

    key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    tier_kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    waste_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_micros: Mapped[int] = mapped_column(BigInteger)


class ChargeRow(Base):
    """What one answer added to the ledger: by it an answer is added once, and can be left out of a sum."""

    __tablename__ = "usage_charges"

    stream_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    day: Mapped[date] = mapped_column(Date, index=True)
    tokens: Mapped[int] = mapped_column(BigInteger)
    cost_micros: Mapped[int] = mapped_column(BigInteger)


class EpochRow(Base):
    """That the counters of a shard were alive once: if they are empty now, they were lost."""

    __tablename__ = "usage_epochs"

    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[str] = mapped_column(String(26))
    since: Mapped[datetime] = mapped_column(UtcDateTime)
