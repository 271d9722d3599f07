"""`edgewise agent models`: the model versions on this device; edgewise/models keeps them, the running agent is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.tables import print_json, print_table
from edgewise.wire.errors import ConfigError

if TYPE_CHECKING:
    from edgewise.models import ModelStore
    from edgewise.models.layout import Progress

FOLDER = "models"
SHORT = 12

DataDir = Annotated[Path | None, typer.Option(help="The agent's data directory.")]
Version = Annotated[str, typer.Argument(metavar="ID", help="A version's id, or the beginning of it.")]

app = typer.Typer(name="models", no_args_is_help=True, help="The model versions on this device.")


@app.command("install")
def install(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A model directory, as `model export` makes it.")],
    use_it: Annotated[bool, typer.Option("--use/--keep", help="Put it into use, or keep the one that is.")] = True,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy a version in, as far as it is not here yet, and put it into use."""
    import msgspec

    place, store = _open(data_dir)
    with _progress("install") as progress:
        done = store.install(directory, progress)
    if use_it:
        store.use(done.version)
    told = _tell(place) if use_it else None
    if as_json:
        return print_json({**msgspec.to_builtins(done), "current": store.current, "agent": told})
    typer.echo(
        f"{done.name} {done.version[:SHORT]}: {_mb(done.written_bytes)} of {_mb(done.total_bytes)} written "
        f"({done.written_files} files), {'in use' if store.current == done.version else 'not in use'}"
    )
    return _say(told, store.path)


@app.command("list")
def show(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the versions, and which one is in use."""
    import msgspec

    _, store = _open(data_dir)
    found = store.versions()
    if as_json:
        return print_json({"path": str(store.path), "versions": msgspec.to_builtins(found)})
    rows = [
        (each.version[:SHORT], each.name, _mb(each.total_bytes), _mb(each.own_bytes), _standing(each))
        for each in sorted(found, key=lambda each: (not each.current, not each.previous, each.version))
    ]
    return print_table(("version", "model", "size", "its own", ""), rows, f"Models on this device ({store.path})")


@app.command("use")
def use(version: Version, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Put a version into use; answers that run end on the one before."""
    place, store = _open(data_dir)
    _changed(store.use(version), place, store, as_json)


@app.command("rollback")
def rollback(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Put the version before into use."""
    place, store = _open(data_dir)
    _changed(store.go_back(), place, store, as_json)


@app.command("remove")
def remove(version: Version, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Remove a version that is not in use, and what only it needed."""
    _, store = _open(data_dir)
    found = store.find(version)
    freed = store.remove(found)
    if as_json:
        return print_json({"version": found, "freed_bytes": freed})
    typer.echo(f"{found[:SHORT]} is removed: {_mb(freed)} freed")
    for each in store.versions():
        if each.damaged:
            typer.echo(
                f"No content is freed while version {each.version[:SHORT]} is damaged, as what it needs is not known. "
                "Remove it, or install it again."
            )
    return None


@app.command("verify")
def verify(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Read every file and compare it with its digest. Ends with 1 where something is wrong."""
    import msgspec

    _, store = _open(data_dir)
    with _progress("verify") as progress:
        faults = store.verify(progress)
    if as_json:
        print_json({"versions": len(store.versions()), "faults": msgspec.to_builtins(faults)})
    elif faults:
        print_table(("version", "file", ""), [(fault.version[:SHORT], fault.file, fault.what) for fault in faults])
        typer.echo("To do: install these versions again, each from its model directory.")
    else:
        typer.echo(f"{len(store.versions())} versions, every file is right")
    if faults:
        raise typer.Exit(1)


def _open(data_dir: Path | None) -> tuple[Path, ModelStore]:
    """The agent's data directory, by its own settings, and the store in it."""
    try:
        from edge_agent.config import AgentConfig
        from edgewise.models import ModelStore
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The models of a device need the package {error.name}, which is not installed",
            where="edgewise agent models",
            expected="an installation with the extra edge",
            remedy="pip install 'edgewise[edge]'",
        ) from error
    place = AgentConfig.load(model_dir=Path(), data_dir=data_dir).data_dir
    return place, ModelStore(place / FOLDER)


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda name, done, total: bar.update(task, completed=done, total=total)


def _changed(version: str, place: Path, store: ModelStore, as_json: bool) -> None:
    told = _tell(place)
    if as_json:
        return print_json({"current": version, "previous": store.previous, "agent": told})
    typer.echo(f"{version[:SHORT]} is in use")
    return _say(told, store.path)


def _tell(place: Path) -> dict[str, Any]:
    from edgewise.models.announcing import tell

    told = tell(place)
    return {"pid": told.pid, "told": told.heard} | ({"hidden": True} if told.hidden else {})


def _say(told: dict[str, Any] | None, path: Path) -> None:
    """What the running agent makes of it."""
    if told is None:
        return
    if told["told"]:
        typer.echo(f"The agent (process {told['pid']}) was told: it loads what {path} leads to, if it was started so.")
    elif told["pid"]:
        typer.echo(f"The agent is another user's: tell it with `kill -HUP {told['pid']}`.")
    elif told.get("hidden"):
        typer.echo("Whether an agent runs here is another user's to see: work as the user that the agent runs as.")
    else:
        typer.echo(f"No agent runs here. Start one with: edgewise agent --model {path}")


def _standing(version: Any) -> str:
    standing = "in use" if version.current else "before" if version.previous else ""
    return ", ".join(filter(None, (standing, "damaged" if version.damaged else "")))


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
