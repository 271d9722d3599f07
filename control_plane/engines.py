"""From a database URL to an engine: drivers, pool, time limits and pragmas. Transactions are database.py's business."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from edgewise.wire.errors import ConfigError, DataDirError

BUSY_TIMEOUT_MS = 5000
POOL_SIZE = 10
CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 30.0
LOCK_TIMEOUT_S = 10.0
IDLE_IN_TRANSACTION_S = 60.0
APPLICATION_NAME = "edgewise"
WRITE = "edgewise_write"
"""The execution option of a transaction that may write."""

_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_POSTGRES_OPTIONS = {"ssl", "host", "port", "target_session_attrs", "prepared_statement_cache_size"}
_EXPECTED_URL = "sqlite:///path/to/file or postgresql://user:password@host:5432/name?sslmode=require"


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


def async_url(url: str) -> URL:
    """The URL with our driver in it; libpq's `sslmode` is asyncpg's `ssl`. Raises ConfigError."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "The database URL does not parse", where="EDGEWISE_DATABASE_URL", expected=_EXPECTED_URL
        ) from error
    parsed = parsed.set(drivername=_ASYNC_DRIVERS.get(parsed.drivername, parsed.drivername))
    return _with_known_options(parsed) if parsed.drivername == "postgresql+asyncpg" else parsed


def _with_known_options(url: URL) -> URL:
    options = {{"sslmode": "ssl"}.get(name, name): value for name, value in url.query.items()}
    unknown = options.keys() - _POSTGRES_OPTIONS
    if unknown:
        raise ConfigError(
            f"The database URL has options that are not known: {', '.join(sorted(unknown))}",
            where="EDGEWISE_DATABASE_URL",
            expected=f"any of sslmode, {', '.join(sorted(_POSTGRES_OPTIONS - {'ssl'}))}",
            remedy="leave them out; certificates and the like go into libpq's variables, such as PGSSLROOTCERT",
        )
    return url.set(query=options)


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def open_engine(url: URL, *, busy_timeout_ms: int, pool_size: int, patient: bool = False) -> AsyncEngine:
    """An engine that opens nothing yet; `patient` is without time limits for statements (migrations, restoring).

    No parameter of a statement reaches the words of an exception, and so a log: prompts are among them. Raises
    ConfigError when the driver is not installed.
    """
    postgres = url.get_backend_name() == "postgresql"
    options: Mapping[str, Any] = _postgres_options(pool_size, patient) if postgres else {}
    try:
        engine = create_async_engine(url, hide_parameters=True, json_serializer=_to_json, **options)
        engine.dialect.create_connect_args(url)
    except ArgumentError as error:
        raise ConfigError(
            f"The database URL cannot be used: {error}", where="EDGEWISE_DATABASE_URL", expected=_EXPECTED_URL
        ) from error
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"No driver for {url.drivername} is installed ({error})",
            where="EDGEWISE_DATABASE_URL",
            remedy="install the driver (asyncpg for PostgreSQL), or use the default SQLite file",
        ) from error
    if url.get_backend_name() == "sqlite":
        _tune_sqlite(engine, busy_timeout_ms)
    return engine


def _postgres_options(pool_size: int, patient: bool) -> Mapping[str, Any]:
    """The server ends what takes too long; the client's own limit is for a server that says nothing any more."""
    limits = {
        "application_name": APPLICATION_NAME,
        "timezone": "UTC",
        "statement_timeout": "0" if patient else _ms(STATEMENT_TIMEOUT_S),
        "lock_timeout": "0" if patient else _ms(LOCK_TIMEOUT_S),
        "idle_in_transaction_session_timeout": "0" if patient else _ms(IDLE_IN_TRANSACTION_S),
    }
    arguments = {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": None if patient else STATEMENT_TIMEOUT_S + CONNECT_TIMEOUT_S,
        "server_settings": limits,
    }
    return {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": LOCK_TIMEOUT_S,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        "connect_args": arguments,
    }


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))


def _tune_sqlite(engine: AsyncEngine, busy_timeout_ms: int) -> None:
    """WAL, one fsync per checkpoint (SQL holds no token that the log does not), foreign keys, and explicit BEGIN.

    The driver's own transaction control begins too late for a snapshot and upgrades a read to a write, which SQLite
    refuses at once under WAL; so it is switched off, and a writing transaction takes the write lock when it begins.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(busy_timeout_ms)}")
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def prepare_file(url: URL) -> None:
    """Make the SQLite file's directory (0700) and the file (0600) when they are not there. Raises DataDirError."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return
    path = Path(str(url.database))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise DataDirError(
            f"The database file cannot be created: {error.strerror}",
            where=str(path),
            expected="a writable directory with free space",
            remedy="choose another --data-dir, or correct its owner and mode",
        ) from error
