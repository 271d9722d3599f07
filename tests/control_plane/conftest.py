"""Fixtures of the control plane's data side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.database import Database
from tests.factories.admin import Admin, running_admin
from tests.factories.database import open_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated SQLite file."""
    async with open_database(tmp_path) as opened:
        yield opened


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    """The data side of a control plane with its admin API."""
    async with running_admin(tmp_path) as running:
        yield running
