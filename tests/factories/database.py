"""Real databases with the real migrations, for tests: SQLite files, and databases of a PostgreSQL server."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from control_plane.database import Database, sqlite_url

FILE = "test.sqlite3"
BACKENDS = ("sqlite", "postgresql")


@asynccontextmanager
async def open_database(directory: Path, *, url: str = "", busy_timeout_ms: int = 5000) -> AsyncIterator[Database]:
    """A migrated database, closed at the end: that of `url`, which is migrated, else a SQLite file in `directory`."""
    database = Database(url or sqlite_url(directory / FILE), busy_timeout_ms=busy_timeout_ms)
    if not url:
        await database.migrate()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture(params=BACKENDS)
async def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """A migrated database on each of both: a test (or fixture) that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        template = await _sqlite_template(tmp_path_factory)
        shutil.copy2(template, tmp_path / FILE)
        yield sqlite_url(tmp_path / FILE)
        return
    async with request.getfixturevalue("postgres_server").fresh() as url:
        yield url


async def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, made once for each pytest process; copying it is ten times faster than migrating."""
    folder = tmp_path_factory.getbasetemp() / "sqlite-template"
    if not folder.is_dir():
        async with open_database(folder):
            pass
    return folder / FILE
