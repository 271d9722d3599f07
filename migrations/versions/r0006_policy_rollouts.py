"""Rollouts of policies, and what each gateway has measured of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "policy_rollouts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("plan_digest", sa.String(length=64), nullable=False),
        sa.Column("candidate_version", sa.Integer(), nullable=False),
        sa.Column("base_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("position", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["candidate_version"],
            ["policy_versions.version"],
            name="fk_policy_rollouts_candidate_version_policy_versions",
        ),
        sa.ForeignKeyConstraint(
            ["base_version"], ["policy_versions.version"], name="fk_policy_rollouts_base_version_policy_versions"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_policy_rollouts"),
    )
    op.create_index("ix_policy_rollouts_position", "policy_rollouts", ["position"], unique=False)
    op.create_table(
        "policy_rollout_counts",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("totals", sa.JSON(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["policy_rollouts.id"], name="fk_policy_rollout_counts_rollout_id_policy_rollouts"
        ),
        sa.PrimaryKeyConstraint("rollout_id", "run", "gateway", name="pk_policy_rollout_counts"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("policy_rollout_counts")
    op.drop_index("ix_policy_rollouts_position", table_name="policy_rollouts")
    op.drop_table("policy_rollouts")
