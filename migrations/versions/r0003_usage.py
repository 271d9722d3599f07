"""Limits of keys and what they used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LIMITS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent",
    "tokens_per_day",
    "tokens_per_month",
    "tokens_total",
    "cost_per_day",
    "cost_per_month",
    "cost_total",
)
_COUNTS = ("requests", "refused", "prompt_tokens", "completion_tokens", "waste_tokens", "cost_micros")


def upgrade() -> None:
    """Limits, the ledger by day, the charges of answers, and the lives of the counters."""
    op.create_table(
        "usage_limits",
        sa.Column("scope", sa.String(length=80), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in _LIMITS),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_usage_limits"),
    )
    op.create_table(
        "usage",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tier_kind", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("key_id", "tenant", "day", "tier_kind", "model", name="pk_usage"),
    )
    op.create_index("ix_usage_tenant", "usage", ["tenant", "day"], unique=False)
    op.create_index("ix_usage_day", "usage", ["day"], unique=False)
    op.create_table(
        "usage_charges",
        sa.Column("stream_id", sa.String(length=26), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", name="pk_usage_charges"),
    )
    op.create_index("ix_usage_charges_day", "usage_charges", ["day"], unique=False)
    op.create_table(
        "usage_epochs",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.String(length=26), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shard", name="pk_usage_epochs"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("usage_epochs")
    op.drop_index("ix_usage_charges_day", table_name="usage_charges")
    op.drop_table("usage_charges")
    op.drop_index("ix_usage_day", table_name="usage")
    op.drop_index("ix_usage_tenant", table_name="usage")
    op.drop_table("usage")
    op.drop_table("usage_limits")
