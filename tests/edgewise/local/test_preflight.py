"""What is refused before anything starts, and with which words."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edgewise.local.preflight import check_port, locked, prepare_data_dir
from edgewise.wire.errors import DataDirError, PortInUseError


def test_a_port_in_use_is_named_with_the_option_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"Port {port} on 127.0.0.1") as error:
            check_port("127.0.0.1", port, "--edge-port")
    assert "--edge-port" in error.value.remedy


def test_a_free_port_passes() -> None:
    check_port("127.0.0.1", 0)


def test_a_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(PortInUseError, match="not a port number"):
        check_port("127.0.0.1", 70000)


def test_the_data_dir_is_made_for_its_owner_only(tmp_path: Path) -> None:
    prepare_data_dir(tmp_path / "a" / "b", free_min_bytes=0)
    assert (tmp_path / "a" / "b" / "logs").is_dir()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["logs"]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="cannot be used"):
        prepare_data_dir(tmp_path / "file", free_min_bytes=0)


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataDirError, match="disk of the data directory is full"):
        prepare_data_dir(tmp_path, free_min_bytes=1 << 80)


def test_two_stacks_do_not_share_a_data_dir(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(DataDirError, match="Another stack uses") as error, locked(tmp_path):
        pass
    assert "process " in error.value.message
    with locked(tmp_path):
        pass
