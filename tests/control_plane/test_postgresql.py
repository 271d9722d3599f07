"""What only a server does to us: faults told by code, writers side by side, several gateways that start at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.tables import AuditRow
from control_plane.database import CONFLICT_TRIES, Database, sqlite_url, storage_error
from control_plane.errors import (
    DatabaseBusyError,
    DatabaseConflictError,
    DatabaseReadOnlyError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    DiskFullError,
)
from control_plane.policy_admin.tables import PolicyVersionRow
from control_plane.storage_errors import TypedErrors
from edgewise.ids import new_id
from edgewise.wire.errors import EdgewiseError
from tests.control_plane.test_database import entry
from tests.factories.postgres import PostgresServer

URL = make_url("postgresql://user:hidden-word@host/name")


@pytest.fixture
async def postgres(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    async with postgres_server.fresh() as url:
        database = Database(url)
        yield database
        await database.close()


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("28P01", DatabaseRefusedError),
        ("42501", DatabaseRefusedError),
        ("53100", DiskFullError),
        ("53300", DatabaseBusyError),
        ("40001", DatabaseConflictError),
        ("40P01", DatabaseConflictError),
        ("25006", DatabaseReadOnlyError),
        ("57P01", DatabaseUnavailableError),
        ("42P01", DatabaseUnavailableError),
        ("", DatabaseUnavailableError),
    ],
)
def test_each_code_has_its_error_with_a_remedy_that_suits_a_server(state: str, kind: type[EdgewiseError]) -> None:
    error = storage_error("said the driver", URL, state)
    assert type(error) is kind
    assert error.remedy
    assert "--data-dir" not in str(error)
    assert "hidden-word" not in str(error)


@pytest.mark.parametrize("url", ["postgresql://a@127.0.0.1:1/x", "postgresql://a@/x?host=/no/such/folder"])
async def test_a_server_that_is_away_is_said(url: str) -> None:
    database = Database(url)
    for work in (database.ping, database.migrate):
        with pytest.raises(DatabaseUnavailableError, match="does not answer") as caught:
            await work()
        assert "EDGEWISE_DATABASE_URL" in caught.value.remedy
    await database.close()


async def test_a_stranger_is_refused_for_good(postgres_server: PostgresServer) -> None:
    await postgres_server.wait_ready()
    url = postgres_server.url.set(username="stranger", password="hidden-word")
    with pytest.raises(DatabaseRefusedError) as caught:
        await Database(url.render_as_string(hide_password=False)).ping()
    assert "hidden-word" not in str(caught.value)
    with pytest.raises(DatabaseRefusedError, match="does not exist") as caught:
        await Database(postgres_server.url_of("no_such_database")).migrate()
    assert "createdb" in caught.value.remedy


async def test_too_many_connections_are_said(postgres_server: PostgresServer) -> None:
    await postgres_server.wait_ready()
    role = f"edgewise_{new_id().lower()}"
    await postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT 0")
    url = postgres_server.url.set(username=role, password="p")
    with pytest.raises(DatabaseBusyError, match="no more connections"):
        await Database(url.render_as_string(hide_password=False)).ping()
    await postgres_server.execute(f"DROP ROLE {role}")


async def test_a_replica_is_said(postgres: Database) -> None:
    async with postgres.session() as session:
        await session.execute(text("SET LOCAL transaction_read_only = on"))
        with pytest.raises(DatabaseReadOnlyError, match="replica"), TypedErrors(postgres.url):
            await session.execute(text("DELETE FROM telemetry"))


async def test_what_takes_too_long_is_ended(postgres: Database) -> None:
    with pytest.raises(DatabaseBusyError, match="longer"):
        async with postgres.session() as session:
            await session.execute(text("SET LOCAL statement_timeout = 1"))
            await session.execute(text("SELECT pg_sleep(60)"))


def test_a_pool_without_a_free_connection_is_said() -> None:
    with pytest.raises(DatabaseBusyError, match="in use") as caught, TypedErrors(URL):
        raise PoolTimeoutError
    assert "EDGEWISE_DATABASE_POOL_SIZE" in caught.value.remedy


def test_the_callers_own_errors_of_the_system_stay_what_they_are() -> None:
    with pytest.raises(FileNotFoundError), TypedErrors(URL):
        raise FileNotFoundError
    with pytest.raises(DatabaseUnavailableError), TypedErrors(URL, connecting=True):
        raise TimeoutError


async def test_a_server_that_ends_our_sessions_is_said_and_found_again(postgres: Database) -> None:
    end = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> :me"
    )
    with pytest.raises(DatabaseUnavailableError):
        async with postgres.session() as victim:
            async with postgres.session() as other:
                mine = await other.scalar(text("SELECT pg_backend_pid()"))
                await other.execute(end, {"me": mine})
            await victim.execute(text("SELECT 1"))
    await postgres.ping()


async def test_a_database_of_these_tests_comes_back_as_new(postgres_server: PostgresServer) -> None:
    async def first_row(url: str) -> int:
        database = Database(url)
        async with database.session() as session:
            assert (await session.scalars(select(AuditRow))).all() == []
            session.add(row := entry(target="x"))
            await session.flush()
            return int(row.id)

    async with postgres_server.fresh() as used:
        number = await first_row(used)  # it leaves its connection open, too
    async with postgres_server.fresh() as url:
        assert url == used
        assert await first_row(url) == number


@pytest.mark.parametrize(
    "change", ["ALTER TABLE telemetry RENAME TO hidden", "UPDATE alembic_version SET version_num = '0001'"]
)
async def test_a_database_of_another_shape_does_not_come_back(postgres_server: PostgresServer, change: str) -> None:
    async with postgres_server.fresh() as changed:
        database = Database(changed)
        async with database.session() as session:
            await session.execute(text(change))
        await database.close()
    async with postgres_server.fresh() as url:
        assert url != changed


# Both databases ------------------------------------------------------------------------------------------------------


async def test_who_checks_before_acting_is_alone_with_a_lock(database: Database) -> None:
    async def once() -> None:
        async with database.session(lock="test") as session:
            if (await session.scalars(select(AuditRow).where(AuditRow.target == "only"))).first() is None:
                session.add(entry(target="only"))

    await asyncio.gather(*(once() for _ in range(8)))
    async with database.reading() as session:
        assert len((await session.scalars(select(AuditRow))).all()) == 1


async def test_work_is_done_again_when_another_got_in_its_way(database: Database) -> None:
    tries, pauses = [], []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def work(session: AsyncSession) -> str:
        tries.append(1)
        session.add(entry(target="x"))
        await session.flush()
        if len(tries) < 3:
            raise DatabaseConflictError("in the way")
        return "done"

    patient = Database(database.url.render_as_string(hide_password=False), sleep=sleep)
    assert await patient.retried(work) == "done"
    assert len(tries) == 3
    assert pauses == sorted(pauses)
    async with database.reading() as session:
        assert len((await session.scalars(select(AuditRow))).all()) == 1

    async def never(_session: AsyncSession) -> None:
        tries.append(1)
        raise DatabaseConflictError("in the way")

    tries.clear()
    with pytest.raises(DatabaseConflictError):
        await patient.retried(never)
    assert len(tries) == CONFLICT_TRIES
    await patient.close()


async def test_a_real_conflict_is_one(postgres: Database) -> None:
    """Two transactions on one snapshot change one row: PostgreSQL refuses the second with 40001."""
    async with postgres.session() as session:
        session.add(entry(target="x"))
    change = text("UPDATE audit_entries SET target = target || '!'")

    async def work(session: AsyncSession) -> None:
        await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await session.scalar(text("SELECT target FROM audit_entries"))
        met.append(1)
        if len(met) == 1:
            async with postgres.session() as other:
                await other.execute(change)
        await session.execute(change)

    met: list[int] = []
    await postgres.retried(work)
    async with postgres.reading() as session:
        assert await session.scalar(text("SELECT target FROM audit_entries")) == "x!!"
    assert len(met) == 2


_START = (
    "import asyncio, sys; from control_plane.database import Database; asyncio.run(Database(sys.argv[1]).migrate())"
)


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_gateways_that_start_at_once_migrate_once(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if backend == "sqlite":
        await _start_together(sqlite_url(tmp_path / "new" / "x.sqlite3"))
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    async with server.fresh(migrated=False) as url:
        await _start_together(url)


async def _start_together(url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", _START, url], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = await asyncio.gather(*(asyncio.to_thread(process.communicate) for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0], said
    database = Database(url)
    async with database.reading() as session:
        assert (await session.scalars(select(PolicyVersionRow))).all() == []
    await database.close()
