"""The database: transactions, pragmas, times, migrations that match the models, and typed errors for bad storage."""

from __future__ import annotations

import ast
import os
import sqlite3
import traceback
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable

import migrations
from control_plane.audit.tables import AuditRow
from control_plane.database import Base, Database, UtcDateTime, migration_config, sqlite_url, storage_error
from control_plane.errors import (
    AppendOnlyError,
    DatabaseBusyError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    DiskFullError,
)
from control_plane.tables import METADATA, TABLES
from edgewise.wire.errors import ConfigError, DataDirError, EdgewiseError
from tests.factories.database import FILE, open_database

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
REPOSITORY = Path(migrations.__file__).parent.parent


def entry(**changes: object) -> AuditRow:
    values: dict[str, object] = {"at": datetime.now(UTC), "actor": "a", "action": "b", "target": "c"}
    return AuditRow(**(values | changes))


async def test_models_and_migrations_agree(database: Database) -> None:
    engine = create_async_engine(database.url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"compare_type": True, "compare_server_default": True}), METADATA
            )
        )
    await engine.dispose()
    assert differences == []


def test_there_is_one_line_of_revisions_from_0001() -> None:
    script = ScriptDirectory.from_config(migration_config())
    assert len(script.get_heads()) == 1
    assert [revision.revision for revision in script.walk_revisions()][-1] == "0001"


async def test_a_downgrade_leaves_nothing(database: Database) -> None:
    def down(connection: object) -> None:
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    engine = create_async_engine(database.url)
    async with engine.begin() as connection:
        await connection.run_sync(down)
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == ["alembic_version"]
    await engine.dispose()


@pytest.mark.parametrize("folder", ["control_plane", "migrations"])
def test_only_the_portable_statements_know_a_dialect(folder: str) -> None:
    files = set((REPOSITORY / folder).rglob("*.py")) - {REPOSITORY / "control_plane" / "statements.py"}
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if "dialects" in name and "sqlalchemy" in name], path


def test_postgresql_would_take_every_table() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in METADATA.sorted_tables:
        statement = str(CreateTable(table).compile(dialect=dialect))
        assert "DATETIME" not in statement
        assert all(len(str(constraint.name)) <= 63 for constraint in table.constraints)


def test_relationships_raise_on_lazy_load_and_every_table_is_listed() -> None:
    mappers = {mapper.class_ for mapper in Base.registry.mappers}
    assert mappers == set(TABLES)
    for mapper in Base.registry.mappers:
        assert all(relation.lazy == "raise" for relation in mapper.relationships), mapper


@sqlite_only
async def test_sqlite_is_tuned_for_concurrent_readers_and_foreign_keys(database: Database) -> None:
    async with database.reading() as session:
        found = {
            name: (await session.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 5000}


async def test_a_session_commits_at_the_end_and_rolls_back_on_an_error(database: Database) -> None:
    async with database.session() as session:
        session.add(entry(target="kept"))
    with pytest.raises(RuntimeError):
        async with database.session() as session:
            session.add(entry(target="lost"))
            await session.flush()
            raise RuntimeError
    async with database.reading() as session:
        assert [row.target for row in await session.execute(text("SELECT target FROM audit_entries"))] == ["kept"]


async def test_a_reader_keeps_its_snapshot_while_another_writes(database: Database) -> None:
    count = text("SELECT count(*) FROM audit_entries")
    async with database.reading() as reader:
        assert await reader.scalar(count) == 0
        async with database.session() as writer:
            writer.add(entry())
        assert await reader.scalar(count) == 0


async def test_times_come_back_in_utc(database: Database) -> None:
    shanghai = datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    async with database.session() as session:
        session.add(entry(at=shanghai))
    async with database.reading() as session:
        row = await session.get_one(AuditRow, 1)
    assert row.at == shanghai
    assert row.at.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), postgresql.dialect())  # type: ignore[no-untyped-call]


async def test_what_the_caller_got_wrong_is_the_callers(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.session() as session:
            session.add(entry(actor=None))


async def test_audit_entries_cannot_be_changed_or_deleted(database: Database) -> None:
    async with database.session() as session:
        session.add(entry())
    with pytest.raises(AppendOnlyError):
        async with database.session() as session:
            (await session.get_one(AuditRow, 1)).actor = "somebody else"
    with pytest.raises(AppendOnlyError):
        async with database.session() as session:
            await session.delete(await session.get_one(AuditRow, 1))


async def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    async with open_database(tmp_path / "new" / "dir") as database:
        path = Path(str(database.url.database))
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    database = Database(sqlite_url(tmp_path / "file" / FILE))
    with pytest.raises(DataDirError) as caught:
        await database.migrate()
    assert str(tmp_path / "file" / FILE) in caught.value.where
    assert "--data-dir" in caught.value.remedy


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is text, and long enough to be read as a header" * 10)
    database = Database(sqlite_url(tmp_path / FILE))
    with pytest.raises(DataDirError, match="not a database"):
        await database.migrate()
    await database.close()


@sqlite_only
async def test_a_full_disk_is_said_and_keeps_nothing_by_halves(database: Database) -> None:
    """SQLite's own page limit gives the very error that a full disk gives; PostgreSQL has a code for it."""
    with pytest.raises(DiskFullError) as caught:
        async with database.session() as session:
            pages = (await session.execute(text("PRAGMA page_count"))).scalar_one()
            await session.execute(text(f"PRAGMA max_page_count = {pages}"))
            session.add_all(entry(target="x" * 150) for _ in range(5000))
            await session.flush()
    assert caught.value.retryable
    async with database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM audit_entries")) == 0


async def test_a_lock_that_another_process_holds_is_said(tmp_path: Path) -> None:
    async with open_database(tmp_path, busy_timeout_ms=1) as database:
        other = sqlite3.connect(tmp_path / FILE)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusyError):
            async with database.session():
                pass
        other.close()


async def test_a_database_of_a_later_release_is_refused(database: Database) -> None:
    async with database.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNewError) as caught:
        await database.migrate()
    assert caught.value.remedy


async def test_migrating_again_changes_nothing(database: Database) -> None:
    await database.migrate()
    await database.ping()


@pytest.mark.parametrize("url", ["", "not a url", "oracle-of-delphi://x/y", "sqlite+nothing:///x"])
def test_a_url_that_nothing_understands_is_a_setting_to_correct(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Database(url)
    assert "EDGEWISE_DATABASE_URL" in caught.value.where


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("disk I/O error", DiskFullError),
        ("database or disk is full", DiskFullError),
        ("could not extend file: No space left on device", DiskFullError),
        ("unable to open database file", DataDirError),
        ("attempt to write a readonly database", DataDirError),
        ("database is locked", DatabaseBusyError),
        ("connection refused", DatabaseUnavailableError),
        ("", DatabaseUnavailableError),
    ],
)
def test_each_fault_of_storage_has_its_error(message: str, kind: type[EdgewiseError]) -> None:
    assert type(storage_error(message, make_url("sqlite:////data/edgewise.sqlite3"))) is kind


async def test_no_parameter_reaches_the_words_of_an_error(database: Database) -> None:
    """Nor those of its causes, which a log may show: PostgreSQL's details quote the row that it refused."""
    secret = "tpmorp terces"[::-1]  # a traceback shows this line
    statement = text("INSERT INTO sealed_streams (stream_id, text, request) VALUES (:sid, :text, :request)")
    with pytest.raises(IntegrityError) as caught:
        async with database.session() as session:
            await session.execute(statement, {"sid": "s", "text": secret, "request": secret.encode()})
    told = f"{caught.value} {caught.value!r}" + "".join(traceback.format_exception(caught.value))
    assert secret not in told
    assert secret.encode().hex() not in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_directory_without_write_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataDirError):
        await Database(sqlite_url(tmp_path / FILE)).migrate()
