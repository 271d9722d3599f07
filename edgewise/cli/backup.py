"""`edgewise backup` and `edgewise restore`: everything a control plane knows, into one file and out of it again."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir
from edgewise.cli.tables import print_json
from edgewise.local.keys_file import KEYS_FILE
from edgewise.local.preflight import locked, prepare_data_dir
from edgewise.local.valkey import TOKEN_LOG, launch
from edgewise.wire.errors import ConfigError, DataDirError

if TYPE_CHECKING:
    from control_plane.backup.archive import Progress
    from control_plane.backup.live_streams import SavedStream
    from control_plane.backup.manifest import Manifest
    from control_plane.config import ControlConfig

DatabaseUrl = Annotated[
    str | None, typer.Option(help="The database, as the control plane has it. Default: SQLite in the data directory.")
]
LogUrl = Annotated[str | None, typer.Option(help="The token log. Default: the one of `edgewise up` in the directory.")]
Work = Callable[["ControlConfig", "Progress"], Awaitable[dict[str, Any]]]


def backup(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The archive to write; it must not be there yet.")],
    data_dir: DataDir = DATA_DIR,
    database_url: DatabaseUrl = None,
    log_url: LogUrl = None,
    as_json: AsJson = False,
) -> None:
    """Copy everything into one file: SQL, keys, and the streams that are still in the token log. The stack may run."""

    async def work(config: ControlConfig, on_progress: Progress) -> dict[str, Any]:
        with _log_to_read(config, data_dir) as address:
            manifest = await _back_up(config, address, out, on_progress)
        return _summary(out, manifest)

    told = _carried_out(work, data_dir, database_url, log_url)
    if as_json:
        print_json(told)
        return
    typer.echo(f"{out}: {told['rows']} rows of {len(told['tables'])} tables, {told['streams']} streams in the log")
    typer.secho("It holds keys and prompts; keep it as you keep those.", dim=True, err=True)


def restore(
    archive: Annotated[Path, typer.Argument(metavar="IN", help="A file that `edgewise backup` wrote.")],
    data_dir: DataDir = DATA_DIR,
    database_url: DatabaseUrl = None,
    log_url: LogUrl = None,
    force: Annotated[bool, typer.Option("--force", help="Also over a database that holds something; that is lost.")] = (
        False
    ),
    as_json: AsJson = False,
) -> None:
    """Bring a backup back, into any database. The stack must be stopped."""

    async def work(config: ControlConfig, on_progress: Progress) -> dict[str, Any]:
        return await _restore(config, archive, force, on_progress)

    prepare_data_dir(data_dir)
    with locked(data_dir):
        told = _carried_out(work, data_dir, database_url, log_url)
    if as_json:
        print_json(told)
        return
    typer.echo(
        f"{archive}: {told['rows']} rows restored, {told['sealed']} streams sealed, {told['open']} to be resumed"
    )


async def _back_up(config: ControlConfig, log_url: str, out: Path, on_progress: Progress) -> Manifest:
    from control_plane.backup.dump import LogContent, back_up
    from control_plane.database import Database
    from control_plane.streams.listing import stream_ids
    from control_plane.streams.valkey_log import ValkeyStreamLog, connect

    _require_database(config)
    keys_file, signing_key = config.data_dir / KEYS_FILE, config.policy_key_file
    database = Database(config.sql_url)
    try:
        if not log_url:
            return await back_up(database, None, keys_file, out, signing_key=signing_key, on_progress=on_progress)
        client = connect(log_url)
        log = ValkeyStreamLog(client)
        try:
            content = LogContent(log, stream_ids(client))
            return await back_up(database, content, keys_file, out, signing_key=signing_key, on_progress=on_progress)
        finally:
            await log.aclose()
            await client.aclose()
    finally:
        await database.close()


async def _restore(config: ControlConfig, path: Path, force: bool, on_progress: Progress) -> dict[str, Any]:
    from control_plane.backup.archive import Archive
    from control_plane.backup.keys import put_keys, put_signer, read_keys, read_signer
    from control_plane.backup.restore import restore_tables
    from control_plane.database import Database

    _require_no_gateway(config.data_dir)
    archive = Archive.open(path, on_progress)
    keys = read_keys(archive, config.data_dir, force=force)
    signer = read_signer(archive, config.policy_key_file, force=force)
    database = Database(config.sql_url)
    try:
        restored = await restore_tables(database, archive, force=force, on_progress=on_progress)
    finally:
        await database.close()
    put_keys(keys, config.data_dir)
    put_signer(signer, config.policy_key_file)
    resumable = await _put_back(config, restored.open_streams)
    return {"archive": str(path), "rows": restored.rows, "sealed": restored.sealed, "open": resumable}


async def _put_back(config: ControlConfig, streams: tuple[SavedStream, ...]) -> int:
    """Open streams go into the token log, where a gateway takes them up."""
    from control_plane.backup.live_streams import put_back
    from control_plane.streams.valkey_log import ValkeyStreamLog, connect

    if not streams:
        return 0
    with ExitStack() as stack:
        log = ValkeyStreamLog(connect(config.log_url or stack.enter_context(_launched(config.data_dir))))
        try:
            return sum([await put_back(log, each) for each in streams])
        finally:
            await log.aclose()


@contextmanager
def _log_to_read(config: ControlConfig, data_dir: Path) -> Iterator[str]:
    """The address of the token log: as configured, of the running stack, or of its files; empty when there is none."""
    from edgewise.local.embedded_server import read_address

    address = config.log_url or read_address(data_dir, TOKEN_LOG)
    if address or not (data_dir / TOKEN_LOG.folder).is_dir():
        yield address
        return
    with locked(data_dir), _launched(data_dir) as launched:
        yield launched


@contextmanager
def _launched(data_dir: Path) -> Iterator[str]:
    """The embedded token log of a stack that is stopped, for a moment."""
    server = launch(data_dir)
    try:
        server.wait_ready()
        yield server.url
    finally:
        server.stop()


def _require_no_gateway(data_dir: Path) -> None:
    """`edgewise control` alone holds no stack's lock, but a seat."""
    from control_plane.seat import is_taken

    if is_taken(data_dir):
        raise DataDirError(
            "A control plane uses this data directory",
            where=str(data_dir),
            expected="a data directory that nothing uses",
            remedy="stop it, or choose another --data-dir",
        )


def _require_database(config: ControlConfig) -> None:
    """Opening a SQLite file makes it, so it is looked for first."""
    from control_plane.config import DATABASE_FILE

    path = config.data_dir / DATABASE_FILE
    if not config.database_url and not path.is_file():
        raise ConfigError(
            "There is nothing to back up",
            where=str(path),
            expected="the database of a control plane that was started once",
            remedy="give its --data-dir, or its --database-url",
        )


def _summary(out: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "archive": str(out),
        "created_at": manifest.created_at.isoformat(),
        "source": manifest.source,
        "schema": manifest.schema,
        "rows": manifest.rows,
        "tables": {table.name: table.rows for table in manifest.tables},
        "streams": manifest.streams,
        "bytes": out.stat().st_size,
    }


def _carried_out(work: Work, data_dir: Path, database_url: str | None, log_url: str | None) -> dict[str, Any]:
    import asyncio

    loaded = _config(data_dir=data_dir, database_url=database_url, log_url=log_url)

    async def run() -> dict[str, Any]:
        with _progress_bar() as on_progress:
            return await work(loaded, on_progress)

    return asyncio.run(run())


def _config(**given: Any) -> ControlConfig:
    try:
        from control_plane.config import ControlConfig
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The package {error.name} is not installed",
            where="edgewise backup and restore",
            expected="an installation with the extra control",
            remedy="pip install 'edgewise[control]'",
        ) from error
    return ControlConfig.load(**given)


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        bar = bars.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            bars.update(bar, description=what, completed=done, total=total)

        yield show


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)
