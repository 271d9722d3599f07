"""Restoring: everything is checked first, then SQL takes all of it in one transaction, or nothing.

The schema is built at the archive's own revision, filled, and then brought up to this release's. Policy bundles come
back as over: devices may have later ones, so the next start issues the policy anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, column, func, insert, inspect, select, table, text, update
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from control_plane.backup.archive import Archive, Progress, no_progress
from control_plane.backup.errors import BackupTooNewError, TargetNotEmptyError, invalid
from control_plane.backup.live_streams import SavedStream, decode_stream
from control_plane.backup.manifest import STREAMS, TableContent
from control_plane.backup.rows import decode_row, light_table
from control_plane.database import Database, insert_ignore, migration_config, upgrade
from control_plane.decisions.sealed import sealed_values
from control_plane.decisions.tables import SealedStreamRow
from control_plane.engines import APPLICATION_NAME
from control_plane.errors import DatabaseTooNewError
from control_plane.policy_bundles.tables import PolicyBundleRow

_PORTION = 500
_VERSION_TABLE = "alembic_version"
_OTHERS_AT_WORK = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = :name"
    " AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True)
class Restored:
    """What was restored into SQL, and the open streams that a token log is to take."""

    rows: int
    sealed: int
    open_streams: tuple[SavedStream, ...]


async def restore_tables(
    database: Database, archive: Archive, *, force: bool = False, on_progress: Progress = no_progress
) -> Restored:
    """Fill an empty database from `archive`; with `force` also one that holds something, which is lost.

    Raises BackupTooNewError, TargetNotEmptyError, BackupInvalidError (a row that its table cannot hold) and what the
    database raises; it is as it was then.
    """
    _require_known_schema(archive)
    await database.close()  # its own idle connections would look like a gateway at work
    async with database.rebuilding() as connection:
        if database.is_postgres:
            await _require_alone(connection, database)
        await connection.run_sync(_clear, force)
        await connection.run_sync(upgrade, archive.manifest.schema)
        await _fill(connection, archive, on_progress)
        if database.is_postgres:
            await _count_on(connection, archive)
        await connection.run_sync(upgrade)
        await connection.execute(update(PolicyBundleRow).values(not_after=PolicyBundleRow.issued_at))
        return await _sort_streams(connection, archive)


def _require_known_schema(archive: Archive) -> None:
    script = ScriptDirectory.from_config(migration_config())
    if archive.manifest.schema not in {revision.revision for revision in script.walk_revisions()}:
        raise BackupTooNewError(
            f"The backup has schema {archive.manifest.schema}, which this release does not know",
            where=str(archive.path),
            expected=f"schema {script.get_current_head()} or older",
            remedy=f"restore it with Edgewise {archive.manifest.edgewise} or newer",
        )


async def _require_alone(connection: AsyncConnection, database: Database) -> None:
    if await connection.scalar(_OTHERS_AT_WORK, {"name": APPLICATION_NAME}):
        raise TargetNotEmptyError(
            "A control plane is at work on this database",
            where=database.url.render_as_string(hide_password=True),
            expected="a database that nothing uses",
            remedy="stop every gateway and every `edgewise jobs` of it, then restore",
        )


def _clear(connection: Connection, force: bool) -> None:
    """An empty schema at revision zero. Raises TargetNotEmptyError, DatabaseTooNewError."""
    names = set(inspect(connection).get_table_names())
    if _VERSION_TABLE not in names:
        return
    counts = {name: _count(connection, name) for name in sorted(names - {_VERSION_TABLE})}
    filled = {name: rows for name, rows in counts.items() if rows}
    where = connection.engine.url.render_as_string(hide_password=True)
    if filled and not force:
        told = ", ".join(f"{name} ({rows} rows)" for name, rows in filled.items())
        raise TargetNotEmptyError(
            f"The database holds something already: {told}",
            where=where,
            expected="an empty database",
            remedy="restore into a fresh --data-dir or database, or say --force: what is there is lost then",
        )
    try:
        command.downgrade(migration_config(connection), "base")
    except CommandError as error:
        raise DatabaseTooNewError(
            f"This database belongs to another release: {error}",
            where=where,
            expected="a database that this release or an earlier one made",
            remedy="restore into a fresh data directory or database",
        ) from error


def _count(connection: Connection, name: str) -> int:
    return connection.scalar(select(func.count()).select_from(table(name))) or 0


async def _fill(connection: AsyncConnection, archive: Archive, on_progress: Progress) -> None:
    total, done = archive.manifest.rows, 0
    for content in archive.manifest.tables:
        target = light_table(content)
        rows = 0
        for portion in _portions(archive, content):
            try:
                await connection.execute(insert(target), portion)
            except (DBAPIError, StatementError) as error:
                raise invalid(archive.path, f"{content.member} does not fit its table") from error
            rows, done = rows + len(portion), done + len(portion)
            on_progress(content.name, done, total)
        if rows != content.rows:
            raise invalid(archive.path, f"{content.member} has {rows} rows instead of {content.rows}")


def _portions(archive: Archive, content: TableContent) -> Iterator[list[dict[str, Any]]]:
    portion: list[dict[str, Any]] = []
    for number, line in enumerate(archive.lines(content.member), 1):
        try:
            portion.append(decode_row(content, line))
        except ValueError as error:
            raise invalid(archive.path, f"line {number} of {content.member} does not decode ({error})") from error
        if len(portion) == _PORTION:
            yield portion
            portion = []
    if portion:
        yield portion


async def _count_on(connection: AsyncConnection, archive: Archive) -> None:
    """PostgreSQL counts in sequences, which must go on behind what was inserted."""
    for content in archive.manifest.tables:
        if content.serial:
            highest = select(func.max(column(content.serial))).select_from(table(content.name)).scalar_subquery()
            sequence = func.pg_get_serial_sequence(content.name, content.serial)
            await connection.execute(select(func.setval(sequence, func.coalesce(highest, 1), highest.is_not(None))))


async def _sort_streams(connection: AsyncConnection, archive: Archive) -> Restored:
    """Ended streams that were not sealed yet are sealed now; the open ones that SQL does not know as ended go on."""
    streams = list(_streams(archive))
    now = datetime.now(UTC)
    sealed = 0
    async with AsyncSession(connection, join_transaction_mode="rollback_only") as session:
        for each in streams:
            if not each.is_open:
                values = sealed_values(each.sid, each.owner, each.packed, each.status, each.request, now)
                sealed += await insert_ignore(session, SealedStreamRow, [values])
        ended = set(await session.scalars(select(SealedStreamRow.stream_id)))
        await session.flush()
    still_open = tuple(each for each in streams if each.is_open and each.sid not in ended)
    return Restored(archive.manifest.rows, sealed, still_open)


def _streams(archive: Archive) -> Iterator[SavedStream]:
    count = 0
    for line in archive.lines(STREAMS):
        count += 1
        try:
            yield decode_stream(line)
        except ValueError as error:
            raise invalid(archive.path, f"line {count} of {STREAMS} does not decode ({error})") from error
    if count != archive.manifest.streams:
        raise invalid(archive.path, f"{STREAMS} has {count} streams instead of {archive.manifest.streams}")
