"""Files of a device that are nobody else's business: the secret that it keeps."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edge_agent.private_files import kept_secret
from edgewise.wire.errors import DataDirError


def test_a_secret_is_made_once_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = kept_secret(path, 32)
    assert kept_secret(path, 32) == first and len(first) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first != kept_secret(tmp_path / "other", 32)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "s"]


@pytest.mark.parametrize("damage", [b"", b"short", bytes(33)])
def test_a_damaged_one_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "s"
    path.write_bytes(damage)
    made = kept_secret(path, 32)
    assert len(made) == 32 and kept_secret(path, 32) == made


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "s", tmp_path / "elsewhere"
    elsewhere.write_bytes(bytes(32))
    path.symlink_to(elsewhere)
    assert kept_secret(path, 32) != bytes(32)
    assert not path.is_symlink() and elsewhere.read_bytes() == bytes(32)


def test_a_place_where_nothing_can_be_kept_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(DataDirError, match="--data-dir") as raised:
        kept_secret(tmp_path / "s", 32)
    assert raised.value.where == str(tmp_path / "s")
    assert [each.name for each in tmp_path.iterdir()] == ["s"]
    with pytest.raises(DataDirError):
        kept_secret(tmp_path / "no folder" / "s", 32)
