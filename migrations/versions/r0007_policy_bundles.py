"""Signed policy bundles as they were issued, and the public keys that they are signed with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Two tables; the next start of a gateway fills them."""
    op.create_table(
        "policy_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.String(length=80), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policy_keys"),
    )
    op.create_table(
        "policy_bundles",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_version"], ["policy_versions.version"], name="fk_policy_bundles_policy_version_policy_versions"
        ),
        sa.PrimaryKeyConstraint("version", name="pk_policy_bundles"),
    )
    op.create_index("ix_policy_bundles_policy_version", "policy_bundles", ["policy_version"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_policy_bundles_policy_version", table_name="policy_bundles")
    op.drop_table("policy_bundles")
    op.drop_table("policy_keys")
