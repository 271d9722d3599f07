"""What was decided, why, and how it ended: one row per answer, without any text of it; and the sealed streams."""
