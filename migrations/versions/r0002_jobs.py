"""Jobs and ticks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_LIVE = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    """Create jobs, their steps, and ticks."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("queue", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=160), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=160), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("progress_message", sa.String(length=200), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("uq_jobs_kind", "jobs", ["kind", "key"], unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)
    op.create_index("ix_jobs_state", "jobs", ["state", "run_after"], unique=False)
    op.create_table(
        "job_steps",
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("step", sa.String(length=100), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "step", name="pk_job_steps"),
    )
    op.create_table(
        "ticks",
        sa.Column("schedule", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("schedule", "due_at", name="pk_ticks"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("ticks")
    op.drop_table("job_steps")
    op.drop_index("ix_jobs_state", table_name="jobs")
    op.drop_index("uq_jobs_kind", table_name="jobs", sqlite_where=_LIVE, postgresql_where=_LIVE)
    op.drop_table("jobs")
