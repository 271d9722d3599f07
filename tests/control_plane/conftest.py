"""Fixtures of the control plane's data side; each runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.database import Database
from tests.factories.admin import Admin, running_admin
from tests.factories.database import database_url, open_database

__all__ = ["admin", "database", "database_url"]


@pytest.fixture
async def database(tmp_path: Path, database_url: str) -> AsyncIterator[Database]:
    """A migrated database."""
    async with open_database(tmp_path, url=database_url) as opened:
        yield opened


@pytest.fixture
async def admin(tmp_path: Path, database_url: str) -> AsyncIterator[Admin]:
    """The data side of a control plane with its admin API."""
    async with running_admin(tmp_path, url=database_url) as running:
        yield running
