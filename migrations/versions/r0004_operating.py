"""What operating adds: activations of model versions, wishes for nodes, keys with two secrets, search indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_INDEXES = (
    ("ix_decisions_key_id", "decisions", "key_id"),
    ("ix_decisions_policy_digest", "decisions", "policy_digest"),
    ("ix_decisions_status", "decisions", "status"),
    ("ix_audit_entries_actor", "audit_entries", "actor"),
    ("ix_audit_entries_target", "audit_entries", "target"),
)


def upgrade() -> None:
    """Tables, columns, indexes."""
    op.create_table(
        "model_activations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("version_id", sa.String(length=64), nullable=True),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("below_id", sa.Integer(), nullable=True),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["below_id"], ["model_activations.id"], name="fk_model_activations_below_id_model_activations"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_activations"),
    )
    op.create_index("ix_model_activations_name", "model_activations", ["name", "tier", "tenant"], unique=False)
    op.create_table(
        "node_wishes",
        sa.Column("node_id", sa.String(length=64), nullable=False),
        sa.Column("drained", sa.Boolean(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_node_wishes"),
    )
    op.add_column("model_versions", sa.Column("card", sa.Text(), nullable=True))
    op.add_column("audit_entries", sa.Column("address", sa.String(length=64), nullable=True))
    op.add_column("api_keys", sa.Column("old_digest", sa.String(length=64), nullable=True))
    op.add_column("api_keys", sa.Column("old_expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True))
    for name, table, column in _INDEXES:
        op.create_index(name, table, [column], unique=False)


def downgrade() -> None:
    """Take it back."""
    for name, table, _ in reversed(_INDEXES):
        op.drop_index(name, table_name=table)
    for table, column in (
        ("api_keys", "rotated_at"),
        ("api_keys", "old_expires_at"),
        ("api_keys", "old_digest"),
        ("audit_entries", "address"),
        ("model_versions", "card"),
    ):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(column)
    op.drop_table("node_wishes")
    op.drop_index("ix_model_activations_name", table_name="model_activations")
    op.drop_table("model_activations")
