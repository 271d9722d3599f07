"""Making a backup: tables in one snapshot, then one archive. The stack may be at work meanwhile."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.backup.archive import Draft, Progress, no_progress, unwritable
from control_plane.backup.errors import BackupFileError
from control_plane.backup.live_streams import save_streams
from control_plane.backup.manifest import FORMAT, KEYS, SIGNING_KEY, STREAMS, Manifest, TableContent
from control_plane.backup.rows import content_of, encode_row
from control_plane.database import Database, head_revision
from control_plane.tables import METADATA
from edgewise import __version__
from edgewise.streams.log import StreamLog
from edgewise.wire.errors import DataDirError

_PORTION = 500


@dataclass(frozen=True)
class LogContent:
    """A token log and the ids of what it holds."""

    log: StreamLog
    sids: AsyncIterator[str]


async def back_up(
    database: Database,
    streams: LogContent | None,
    keys_file: Path,
    out: Path,
    *,
    signing_key: Path | None = None,
    now: datetime | None = None,
    on_progress: Progress = no_progress,
) -> Manifest:
    """Write everything into a new archive at `out` (mode 0600).

    Streams are read before SQL: one that ends in between is in both, and restoring takes it once. Raises
    BackupFileError, DataDirError, LogUnavailableError and what the database raises.
    """
    _require_new(out)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".edgewise-backup-") as folder:
            draft = Draft(Path(folder))
            with draft.member(STREAMS) as file:
                count = await save_streams(streams.log, streams.sids, file) if streams else 0
            schema, tables = await _dump_tables(database, draft, on_progress)
            _add_file(draft, KEYS, keys_file)
            if signing_key is not None:
                _add_file(draft, SIGNING_KEY, signing_key)
            manifest = Manifest(
                format=FORMAT,
                edgewise=__version__,
                created_at=now or datetime.now(UTC),
                source=database.url.get_backend_name(),
                schema=schema,
                tables=tables,
                streams=count,
                members=draft.members,
            )
            draft.write(out, manifest)
    except OSError as error:
        raise unwritable(out, error) from error
    return manifest


def _require_new(out: Path) -> None:
    """Before the work; when it is written, the name is taken without a gap."""
    if os.path.lexists(out):
        raise unwritable(out, FileExistsError())


async def _dump_tables(database: Database, draft: Draft, on_progress: Progress) -> tuple[str, tuple[TableContent, ...]]:
    """Every table that there is, parents first, as it was at one moment."""
    tables = METADATA.sorted_tables
    async with database.reading() as session:
        schema = await _revision(session, database)
        counts = [await session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
        contents = [content_of(table, rows) for table, rows in zip(tables, counts, strict=True)]
        total, done = sum(counts), 0
        for table, content in zip(tables, contents, strict=True):
            with draft.member(content.member) as file:
                async for line in _lines(session, table, content):
                    file.write(line)
                    done += 1
                    if done % _PORTION == 0:
                        on_progress(table.name, done, total)
        on_progress("tables", total, total)
    return schema, tuple(contents)


async def _lines(session: AsyncSession, table: Table, content: TableContent) -> AsyncIterator[bytes]:
    """In the order of the primary key, so that a row which refers to an earlier one comes after it."""
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_PORTION)
    result = await session.stream(query)
    async for row in result:
        yield encode_row(content, row)


async def _revision(session: AsyncSession, database: Database) -> str:
    """The schema's revision. Raises BackupFileError when it is not this release's, which may lack tables of it."""
    found = await session.scalar(text("SELECT version_num FROM alembic_version"))
    if found != head_revision():
        raise BackupFileError(
            f"The database has the schema of another release (revision {found})",
            where=database.url.render_as_string(hide_password=True),
            expected=f"revision {head_revision()}",
            remedy="use the release that runs on it, or start this one once: it brings the schema up to date",
        )
    return str(found)


def _add_file(draft: Draft, name: str, path: Path) -> None:
    """A file with keys; a control plane that has it elsewhere by now has none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataDirError(
            f"The keys' file cannot be read: {error.strerror}", where=str(path), remedy="run this as its owner"
        ) from error
    with draft.member(name) as file:
        file.write(content)
