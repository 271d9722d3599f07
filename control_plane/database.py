"""The only engine and session factory: transactions, migrating, and what every table is made of.

SQLite (WAL) by default, PostgreSQL by URL. Queries live in the repositories, tables in each feature's tables.py;
INSERT … ON CONFLICT for both databases is `insert_ignore` and `upsert` (control_plane/statements.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, DateTime, Dialect, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

import migrations
from control_plane.engines import BUSY_TIMEOUT_MS, POOL_SIZE, WRITE, async_url, open_engine, prepare_file, sqlite_url
from control_plane.errors import DatabaseConflictError, DatabaseTooNewError
from control_plane.statements import conflict_insert, insert_ignore, upsert
from control_plane.storage_errors import TypedErrors, storage_error

__all__ = [
    "Base",
    "Database",
    "UtcDateTime",
    "conflict_insert",
    "head_revision",
    "insert_ignore",
    "migration_config",
    "sqlite_url",
    "storage_error",
    "upsert",
]

CONFLICT_TRIES = 5
_PAUSE_S = 0.02
_MIGRATION_LOCK = "edgewise.migrations"
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

Found = TypeVar("Found")


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


class Database:
    """One database, many short transactions.

    `session()` writes and commits at the end; `reading()` sees one snapshot and never waits for a writer. Both turn
    driver faults into typed errors (control_plane/errors.py); what the caller's data causes (IntegrityError, DataError)
    goes through, because only the caller knows what it means.
    """

    def __init__(
        self,
        url: str,
        *,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
        pool_size: int = POOL_SIZE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Opens nothing yet. Raises ConfigError for a URL that no installed driver understands."""
        self.url = async_url(url)
        self._busy_timeout_ms = busy_timeout_ms
        self._sleep = sleep
        self._engine = open_engine(self.url, busy_timeout_ms=busy_timeout_ms, pool_size=pool_size)
        self._writing = self._engine.execution_options(**{WRITE: True})
        self._snapshot = self._engine
        if self.is_postgres:
            self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)})"

    @property
    def is_postgres(self) -> bool:
        """Whether a PostgreSQL server keeps it; else it is a SQLite file."""
        return self.url.get_backend_name() == "postgresql"

    @asynccontextmanager
    async def session(self, *, lock: str = "") -> AsyncIterator[AsyncSession]:
        """A transaction that may write; commits at the end, rolls back on any exception.

        On SQLite a writer is alone. On PostgreSQL writers run side by side, so one that checks before it acts names a
        `lock` (`"policies"`): of all gateways' transactions with that name one runs at a time.
        """
        with TypedErrors(self.url):
            async with AsyncSession(self._writing, expire_on_commit=False) as session:
                with TypedErrors(self.url, connecting=True):
                    await session.connection()
                if lock and self.is_postgres:
                    await session.execute(_LOCK, {"name": lock})
                yield session
                await session.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads, and sees the database as it was when it began."""
        with TypedErrors(self.url):
            async with AsyncSession(self._snapshot, expire_on_commit=False) as session:
                with TypedErrors(self.url, connecting=True):
                    await session.connection()
                yield session

    async def retried(self, work: Callable[[AsyncSession], Awaitable[Found]], *, lock: str = "") -> Found:
        """What `work` returns, in a `session()` of its own; again when another transaction got in its way.

        `work` may run several times, so it changes nothing but the database. Raises DatabaseConflictError after
        CONFLICT_TRIES tries.
        """
        for failed in range(1, CONFLICT_TRIES):
            try:
                async with self.session(lock=lock) as session:
                    return await work(session)
            except DatabaseConflictError:
                await self._sleep(_PAUSE_S * failed)
        async with self.session(lock=lock) as session:
            return await work(session)

    async def migrate(self) -> None:
        """Bring the schema to this release's revision, one process at a time. Raises DatabaseTooNewError when it is
        already beyond it."""
        async with self.rebuilding() as connection:
            await connection.run_sync(upgrade)

    @asynccontextmanager
    async def rebuilding(self) -> AsyncIterator[AsyncConnection]:
        """One transaction over schema and content, without time limits, that keeps out every other such one."""
        prepare_file(self.url)
        engine = open_engine(self.url, busy_timeout_ms=self._busy_timeout_ms, pool_size=1, patient=True)
        try:
            with TypedErrors(self.url, connecting=True):
                connection = await engine.connect()
            async with aclosing(connection):
                with TypedErrors(self.url):
                    await connection.execution_options(**{WRITE: True})
                    async with connection.begin():
                        if self.is_postgres:
                            await connection.execute(_LOCK, {"name": _MIGRATION_LOCK})
                        yield connection
        finally:
            await engine.dispose()

    async def ping(self) -> None:
        """One round trip, for the readiness probe."""
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Alembic's upgrade inside of the caller's transaction. Raises DatabaseTooNewError."""
    try:
        command.upgrade(migration_config(connection), revision)
    except CommandError as error:
        raise DatabaseTooNewError(
            f"This database belongs to another release: {error}",
            where=connection.engine.url.render_as_string(hide_password=True),
            expected="a database that this release or an earlier one made",
            remedy="start the newer release again, or use a fresh data directory or database",
        ) from error


def head_revision() -> str:
    """The schema revision of this release."""
    return str(ScriptDirectory.from_config(migration_config()).get_current_head())


def migration_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, made in code: the scripts travel inside the package."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
