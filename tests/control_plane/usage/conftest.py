"""A world on each kind of counters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewise.local.valkey import ValkeyProcess
from tests.control_plane.usage.worlds import World, open_world


@pytest.fixture(params=["memory", "valkey"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    url = ""
    if request.param == "valkey":
        server: ValkeyProcess = request.getfixturevalue("valkey_server")
        url = server.url
    async with open_world(request.param, tmp_path / "world", url) as opened:
        yield opened
