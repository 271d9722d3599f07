"""The first start's keys.json: written once, 0600, crash-safe, and replaceable when lost."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from control_plane.accounts import rotate as rotating
from control_plane.accounts.first_keys import (
    KEYS_FILE,
    FirstKeys,
    ensure_first_keys,
    new_first_keys,
    read_first_keys,
    rotate_first_keys,
    write_first_keys,
)
from control_plane.accounts.keyring import KeyRing
from control_plane.accounts.service import Accounts
from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from edgewise.wire.errors import DataDirError, UnauthenticatedError

URL = "http://127.0.0.1:8080"


def accounts_on(database: Database) -> Accounts:
    return Accounts(database, KeyRing(), AuditTrail(database))


def read(directory: Path) -> FirstKeys:
    keys = read_first_keys(directory)
    assert keys is not None
    return keys


async def test_the_first_start_writes_three_live_keys_for_the_owner_only(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    accounts = accounts_on(database)
    path = await ensure_first_keys(accounts, tmp_path / "data", URL)
    assert path == tmp_path / "data" / KEYS_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    content = json.loads(path.read_text())
    assert set(content) == {"operator", "app", "node", "base_url"}
    for role in ("operator", "app", "node"):
        assert accounts.keyring.authenticate(content[role]).roles == {role}
        assert content[role] not in caplog.text
        assert content[role][9:] not in "".join(capsys.readouterr())


async def test_a_second_start_keeps_the_keys_and_corrects_the_address(database: Database, tmp_path: Path) -> None:
    await ensure_first_keys(accounts_on(database), tmp_path, URL)
    before = read(tmp_path)
    again = accounts_on(database)
    await again.load()
    await ensure_first_keys(again, tmp_path, "http://127.0.0.1:9999")
    after = read(tmp_path)
    assert (after.operator, after.app, after.node) == (before.operator, before.app, before.node)
    assert after.base_url == "http://127.0.0.1:9999"
    assert len(again.keyring) == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".keys")] == []


async def test_a_crash_between_file_and_database_loses_nothing(database: Database, tmp_path: Path) -> None:
    write_first_keys(tmp_path, new_first_keys(URL))
    accounts = accounts_on(database)
    await ensure_first_keys(accounts, tmp_path, URL)
    assert accounts.keyring.authenticate(read(tmp_path).operator).has("operator")


async def test_a_lost_file_is_not_replaced_by_itself(database: Database, tmp_path: Path) -> None:
    await ensure_first_keys(accounts_on(database), tmp_path, URL)
    (tmp_path / KEYS_FILE).unlink()
    assert await ensure_first_keys(accounts_on(database), tmp_path, URL) is None
    assert not (tmp_path / KEYS_FILE).exists()


async def test_rotating_ends_the_old_keys_and_writes_new_ones(database: Database, tmp_path: Path) -> None:
    accounts = accounts_on(database)
    await ensure_first_keys(accounts, tmp_path, URL)
    old, fallen = read(tmp_path), list[str]()
    accounts.keyring.on_revoked(fallen.append)
    await rotate_first_keys(accounts, tmp_path, URL)
    assert len(fallen) == 3
    with pytest.raises(UnauthenticatedError):
        accounts.keyring.authenticate(old.node)
    assert accounts.keyring.authenticate(read(tmp_path).node).has("node")
    fresh = accounts_on(database)
    await fresh.load()
    assert len(fresh.keyring) == 3


def test_the_rotate_command_says_where_the_keys_are_and_not_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["rotate", "--data-dir", str(tmp_path)])
    rotating.main()
    rotating.main()
    printed = capsys.readouterr().out
    assert str(tmp_path / KEYS_FILE) in printed
    assert read(tmp_path).operator not in printed


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"operator": "x", "app": "y", "node": "z"}', b"\xff\xfe"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEYS_FILE).write_bytes(content)
    with pytest.raises(DataDirError) as caught:
        read_first_keys(tmp_path)
    assert KEYS_FILE in caught.value.where
    assert "rotate" in caught.value.remedy


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError):
        write_first_keys(tmp_path / "file", new_first_keys(URL))


async def test_a_second_gateway_in_the_directory_leaves_the_address_alone(database: Database, tmp_path: Path) -> None:
    await ensure_first_keys(accounts_on(database), tmp_path, URL)
    before = read(tmp_path)
    await ensure_first_keys(accounts_on(database), tmp_path, "http://127.0.0.1:9999", keeps_address=False)
    assert read(tmp_path) == before


async def test_two_first_starts_at_once_make_one_set_of_keys(database: Database, tmp_path: Path) -> None:
    """Two directories, one database: the slower one finds out when it registers, and keeps no file of dead keys."""
    slow, quick = accounts_on(database), accounts_on(database)

    async def nothing_yet() -> int:
        await ensure_first_keys(quick, tmp_path / "quick", URL)
        return 0

    slow.count = nothing_yet  # type: ignore[method-assign]
    assert await ensure_first_keys(slow, tmp_path / "slow", URL) is None
    assert not (tmp_path / "slow" / KEYS_FILE).exists()
    assert await quick.count() == 3
    assert slow.keyring.authenticate(read(tmp_path / "quick").app).roles == {"app"}
