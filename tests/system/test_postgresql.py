"""A whole stack on PostgreSQL, a backup of it while it runs, and the same control plane again on SQLite."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.stack import Stack, running_stack
from control_plane.database import Database
from control_plane.decisions.sealed import SealedStream, SealedStreams
from edgewise.wire.errors import StreamNotFoundError
from tests.factories.postgres import PostgresServer
from tests.system.reading import ENDLESS, Reading, ask, replay

pytestmark = pytest.mark.system


def edgewise(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "edgewise.cli.main", *words, "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    made: dict[str, Any] = json.loads(found.stdout)
    return made


def listed(stack: Stack, path: str) -> list[dict[str, Any]]:
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}
    answer = httpx.get(f"{stack.base_url}/admin/v1/{path}", headers=headers)
    answer.raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def sealed(database_url: str, sid: str) -> SealedStream:
    """The stream, once it is sealed."""
    database = Database(database_url)
    async with asyncio.timeout(30):
        while True:
            with suppress(StreamNotFoundError):
                found = await SealedStreams(database).get(sid)
                await database.close()
                return found
            await asyncio.sleep(0.05)


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = "edgewise_system"
    asyncio.run(_create(postgres_server, name))
    yield postgres_server.url_of(name)
    asyncio.run(postgres_server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _create(server: PostgresServer, name: str) -> None:
    await server.wait_ready()
    await server.execute(f'DROP DATABASE IF EXISTS "{name}"')
    await server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')


def test_from_postgresql_to_sqlite(database_url: str, tmp_path: Path) -> None:
    archive, new = tmp_path / "b.tar", tmp_path / "new"
    with running_stack("--database-url", database_url, "--no-edge") as stack:
        reading = ask(stack, max_tokens=12, **ENDLESS)
        assert reading.finishes == ["length"]
        assert asyncio.run(sealed(database_url, reading.sid)).text == reading.text
        options = ["--data-dir", str(stack.data_dir), "--database-url", database_url]
        assert edgewise("backup", str(archive), *options)["source"] == "postgresql"
        assert not list(stack.data_dir.glob("*.sqlite3"))
        keys, policies = listed(stack, "keys"), listed(stack, "policies")
        operator = stack.keys["operator"]
    assert edgewise("restore", str(archive), "--data-dir", str(new))["open"] == 0
    with running_stack("--no-edge", data_dir=new) as again:
        assert again.keys["operator"] == operator
        assert listed(again, "keys") == keys
        assert listed(again, "policies") == policies
        assert _content(replay(again, reading.sid)) == _content(reading)


def _content(reading: Reading) -> tuple[str, list[dict[str, Any]]]:
    return reading.text, reading.chunks
