"""Real SQLite files with the real migrations, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from control_plane.database import Database, sqlite_url

FILE = "test.sqlite3"


@asynccontextmanager
async def open_database(directory: Path, *, busy_timeout_ms: int = 5000) -> AsyncIterator[Database]:
    """A migrated database in `directory`, closed at the end."""
    database = Database(sqlite_url(directory / FILE), busy_timeout_ms=busy_timeout_ms)
    await database.migrate()
    try:
        yield database
    finally:
        await database.close()
