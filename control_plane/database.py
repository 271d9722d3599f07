"""The only engine and session factory: opening, transactions, migrating, typed errors for what storage does to us.

SQLite (WAL) by default, PostgreSQL by URL. Queries live in the repositories, tables in each feature's tables.py.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, DateTime, Dialect, MetaData, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

import migrations
from control_plane.errors import DatabaseBusyError, DatabaseTooNewError, DatabaseUnavailableError, DiskFullError
from edgewise.wire.errors import ConfigError, DataDirError, EdgewiseError

BUSY_TIMEOUT_MS = 5000
_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_WRITE = "edgewise_write"
_CALLERS_FAULTS = (IntegrityError, DataError, ProgrammingError, NotSupportedError)


class Base(DeclarativeBase):
    """Parent of every table. Constraint names are fixed, so that a migration can name what it drops."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC. SQLite forgets the zone, so it is put back; naive values are refused at the border."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A datetime without a zone reached the database; use datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


class Database:
    """One database, many short transactions.

    `session()` writes and commits at the end; `reading()` sees one snapshot and never waits for a writer. Both turn
    driver faults into DataDirError, DiskFullError, DatabaseBusyError or DatabaseUnavailableError; what the
    caller's data causes (IntegrityError, DataError) goes through, because only the caller knows what it means.
    """

    def __init__(self, url: str, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        """Opens nothing yet. Raises ConfigError for a URL that no installed driver understands."""
        self.url = _async_url(url)
        self._engine = _engine(self.url, busy_timeout_ms)
        self._writing = self._engine.execution_options(**{_WRITE: True})

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)})"

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A transaction that may write; commits at the end, rolls back on any exception."""
        with self._typed_errors():
            async with AsyncSession(self._writing, expire_on_commit=False) as session:
                await session.connection()
                yield session
                await session.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads."""
        with self._typed_errors():
            async with AsyncSession(self._engine, expire_on_commit=False) as session:
                yield session

    async def migrate(self) -> None:
        """Bring the schema to this release's revision. Raises DatabaseTooNewError when it is already beyond it."""
        with self._typed_errors():
            _prepare_file(self.url)
            async with self._writing.begin() as connection:
                await connection.run_sync(_upgrade)

    async def ping(self) -> None:
        """One round trip, for the readiness probe."""
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    def _typed_errors(self) -> _TypedErrors:
        return _TypedErrors(self.url)


class _TypedErrors:
    """Turns driver faults into errors that name the fault and the remedy."""

    def __init__(self, url: URL) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DBAPIError) and not isinstance(error, _CALLERS_FAULTS):
            raise storage_error(str(error.orig), self._url) from error
        if isinstance(error, ConnectionError):
            raise storage_error(str(error), self._url) from error


def storage_error(message: str, url: URL) -> EdgewiseError:
    """The typed error for a driver's message; `message` holds no statement and no parameters."""
    where = url.render_as_string(hide_password=True)
    lowered = message.lower()
    if "is full" in lowered or "no space left" in lowered or "disk i/o" in lowered:
        return DiskFullError(
            "The disk below the database is full", where=where, remedy="free space on it; nothing was half-written"
        )
    if "unable to open" in lowered or "readonly database" in lowered or "not a database" in lowered:
        return DataDirError(
            f"The database file cannot be used: {message}",
            where=where,
            expected="a readable and writable SQLite file in a writable directory",
            remedy="choose another --data-dir, or correct its owner and mode",
        )
    if "locked" in lowered:
        return DatabaseBusyError(
            "Another process holds the database", where=where, remedy="run one control plane per SQLite file"
        )
    return DatabaseUnavailableError(
        f"The database does not answer: {message.splitlines()[0] if message else 'no reason given'}",
        where=where,
        remedy="check that the database server runs and that EDGEWISE_DATABASE_URL names it",
    )


def _async_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "The database URL does not parse",
            where="EDGEWISE_DATABASE_URL",
            expected="sqlite:///path/to/file or postgresql://user:password@host/name",
        ) from error
    return parsed.set(drivername=_ASYNC_DRIVERS.get(parsed.drivername, parsed.drivername))


def _engine(url: URL, busy_timeout_ms: int) -> AsyncEngine:
    """No parameter of a statement reaches the words of an exception, and so a log: prompts are among them."""
    try:
        engine = create_async_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite", hide_parameters=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"No driver for {url.drivername} is installed ({error})",
            where="EDGEWISE_DATABASE_URL",
            remedy="install the driver (asyncpg for PostgreSQL), or use the default SQLite file",
        ) from error
    if url.get_backend_name() == "sqlite":
        _tune_sqlite(engine, busy_timeout_ms)
    return engine


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
        write = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_file(url: URL) -> None:
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


def _upgrade(connection: Connection) -> None:
    config = migration_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseTooNewError(
            f"This database belongs to another release: {error}",
            where=connection.engine.url.render_as_string(hide_password=True),
            expected="a database that this release or an earlier one made",
            remedy="start the newer release again, or point --data-dir at a fresh directory",
        ) from error


def migration_config() -> Config:
    """Alembic's configuration, made in code: the scripts travel inside the package."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    return config
