"""What decisions asked beside their mode."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """One column; of decisions that were made before, nobody knows."""
    op.add_column("decisions", sa.Column("terms", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("decisions") as batch:
        batch.drop_column("terms")
