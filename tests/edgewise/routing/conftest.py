"""The bench on which runners are tried."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewise.streams.sqlite_log import SqliteStreamLog
from tests.edgewise.routing.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    log = SqliteStreamLog(tmp_path / "log.sqlite3")
    yield Bench(log)
    await log.aclose()
