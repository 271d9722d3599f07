"""Empty and filled databases of both kinds, and an archive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from control_plane.backup.archive import Archive
from control_plane.backup.dump import LogContent, back_up
from control_plane.backup.manifest import SIGNING_KEY
from control_plane.database import Database, sqlite_url
from tests.factories.database import open_database


@pytest.fixture(params=["sqlite", "postgresql"])
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database without any table."""
    async with empty_database(request, request.param, tmp_path / "target") as database:
        yield database


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated SQLite file, where only the target matters."""
    async with open_database(tmp_path / "source") as database:
        yield database


@asynccontextmanager
async def empty_database(request: Any, backend: str, folder: Path) -> AsyncIterator[Database]:
    """A database of that kind, without any table."""
    if backend == "sqlite":
        database = Database(sqlite_url(folder / "empty.sqlite3"))
        yield database
        await database.close()
        return
    async with request.getfixturevalue("postgres_server").fresh(migrated=False) as url:
        database = Database(url)
        yield database
        await database.close()


async def archived(database: Database, folder: Path, streams: LogContent | None = None) -> Archive:
    """A backup of `database`, opened."""
    out = folder / "backup.tar"
    await back_up(database, streams, folder / "keys.json", out, signing_key=folder / SIGNING_KEY)
    return Archive.open(out)
