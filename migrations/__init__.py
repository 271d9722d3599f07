"""Alembic revisions, packaged and run by `Database.migrate()`. Portable types only: each must run on PostgreSQL too."""
