"""`edgewise backup` and `restore` as an operator uses them: on a stack that is stopped, and around one that runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from control_plane.accounts.first_keys import KEYS_FILE, new_first_keys, write_first_keys
from control_plane.config import DATABASE_FILE
from control_plane.database import Database, sqlite_url
from control_plane.decisions.sealed import SealedStreams
from control_plane.seat import seated
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.cli.main import run
from edgewise.local.preflight import locked
from edgewise.local.valkey import launch
from edgewise.streams.entries import EndEntry, TokensEntry, encode_entry

ENDED, OPEN = "0" * 25 + "1", "0" * 25 + "2"


async def write_streams(url: str) -> None:
    log = ValkeyStreamLog(connect(url))
    for sid in (ENDED, OPEN):
        await log.create(sid, owner="k", request=b"r")
        claim = await log.claim(sid, holder="a", lease_s=0.0, seen_epoch=0)
        await log.append(sid, epoch=claim.epoch, seq=0, payloads=[encode_entry(TokensEntry(0, (1,), "你好"))])
    end = encode_entry(EndEntry("stop", 1, 1))
    await log.append(ENDED, epoch=1, seq=1, payloads=[end], end=True)
    await log.aclose()


async def migrated(data_dir: Path) -> None:
    database = Database(sqlite_url(data_dir / DATABASE_FILE))
    await database.migrate()
    await database.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """What a stack leaves behind: a database, keys, and a token log with an ended and an open stream."""
    folder = tmp_path / "old"
    asyncio.run(migrated(folder))
    write_first_keys(folder, new_first_keys("http://127.0.0.1:8080"))
    server = launch(folder)
    try:
        server.wait_ready()
        asyncio.run(write_streams(server.url))
    finally:
        server.stop()
    return folder


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_there_and_back(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, new = tmp_path / "b.tar", tmp_path / "new"
    assert run(["backup", str(out), "--data-dir", str(data_dir), "--json"]) == 0
    made = told(capsys)
    assert (made["streams"], made["source"], made["archive"]) == (2, "sqlite", str(out))
    assert made["tables"]["sealed_streams"] == 0
    assert made["bytes"] == out.stat().st_size

    assert run(["restore", str(out), "--data-dir", str(new), "--json"]) == 0
    restored = told(capsys)
    assert (restored["sealed"], restored["open"]) == (1, 1)
    assert (new / KEYS_FILE).read_bytes() == (data_dir / KEYS_FILE).read_bytes()
    assert (new / DATABASE_FILE).stat().st_mode & 0o777 == 0o600
    asyncio.run(check_restored(new))

    before = (new / DATABASE_FILE).read_bytes()
    assert run(["restore", str(out), "--data-dir", str(new)]) == 1
    assert "--force" in capsys.readouterr().err
    assert (new / DATABASE_FILE).read_bytes() == before
    assert run(["restore", str(out), "--data-dir", str(new), "--force"]) == 0
    assert "restored" in capsys.readouterr().out


async def check_restored(data_dir: Path) -> None:
    database = Database(sqlite_url(data_dir / DATABASE_FILE))
    assert (await SealedStreams(database).get(ENDED)).text == "你好"
    await database.close()
    server = launch(data_dir)
    try:
        server.wait_ready()
        log = ValkeyStreamLog(connect(server.url))
        assert OPEN in await log.expired()
        assert (await log.head(OPEN)).next_seq == 1
        await log.aclose()
    finally:
        server.stop()


def test_a_backup_is_not_overwritten(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.tar").write_text("something else")
    assert run(["backup", str(tmp_path / "b.tar"), "--data-dir", str(data_dir)]) == 1
    assert "already" in capsys.readouterr().err
    assert (tmp_path / "b.tar").read_text() == "something else"


def test_nothing_is_restored_under_a_stack_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(tmp_path):
        assert run(["restore", "any.tar", "--data-dir", str(tmp_path)]) == 1
    assert "Another stack" in capsys.readouterr().err


def test_nothing_is_restored_under_a_gateway_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with seated(tmp_path), seated(tmp_path):
        assert run(["restore", "any.tar", "--data-dir", str(tmp_path)]) == 1
    assert "uses this data directory" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"not a backup" * 100])
def test_a_file_that_is_no_backup_makes_nothing(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.tar").write_bytes(content)
    assert run(["restore", str(tmp_path / "b.tar"), "--data-dir", str(tmp_path / "new")]) == 1
    assert "no backup" in capsys.readouterr().err
    assert not (tmp_path / "new" / DATABASE_FILE).exists()


def test_where_there_is_nothing_there_is_no_backup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", str(tmp_path / "b.tar"), "--data-dir", str(tmp_path / "nowhere")]) == 1
    assert "nothing to back up" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "b.tar").exists()
