"""Jobs, the steps that they have done, and the ticks of schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime
from control_plane.jobs.job import JobState

_LIVE = text("state IN ('queued', 'running')")


class JobRow(Base):
    """One job, its lease and what became of it. (kind, key) is unique among live jobs; ids sort by time.

    epoch counts claims and fences whoever claimed before; attempt counts the tries that are used up.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("uq_jobs_kind", "kind", "key", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
        Index("ix_jobs_state", "state", "run_after"),
    )

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    queue: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(String(160))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[JobState] = mapped_column(String(16))
    epoch: Mapped[int]
    attempt: Mapped[int]
    max_attempts: Mapped[int]
    holder: Mapped[str] = mapped_column(String(160))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    run_after: Mapped[datetime] = mapped_column(UtcDateTime)
    dispatched_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    progress: Mapped[float]
    progress_message: Mapped[str] = mapped_column(String(200))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobStepRow(Base):
    """A step of a job whose effect is in this database; it stands in the transaction of that effect."""

    __tablename__ = "job_steps"

    job_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    step: Mapped[str] = mapped_column(String(100), primary_key=True)
    done_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TickRow(Base):
    """A moment of a schedule for which its job was added; the key makes a second tick a no-op."""

    __tablename__ = "ticks"

    schedule: Mapped[str] = mapped_column(String(64), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
