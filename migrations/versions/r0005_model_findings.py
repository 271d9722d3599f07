"""Findings of model versions, and how each stood at the gates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Two columns; versions registered before were never judged."""
    op.add_column("model_versions", sa.Column("findings", sa.Text(), nullable=True))
    gates = sa.Column("gates", sa.String(length=16), nullable=False, server_default="unjudged")
    op.add_column("model_versions", gates)


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("model_versions") as batch:
        batch.drop_column("gates")
        batch.drop_column("findings")
