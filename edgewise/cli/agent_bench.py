"""`edgewise agent bench`: this device's table, measured by the agent's own engine; edge_agent/bench.py does it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.tables import print_table
from edgewise.wire.errors import ConfigError

if TYPE_CHECKING:
    from edge_agent.bench import DeviceTable
    from edge_agent.bench_measure import Measured

SECONDS = 20.0
COLUMNS = ("setting", "load s", "first token ms", "prefill tok/s", "decode tok/s", "RSS MB", "anonymous MB", "J/token")
_NOT_MEASURED = "not measured"
_BUSY_PCT = 10.0
"""Other work from here on is worth a line."""


def bench(
    model: Annotated[
        Path | None, typer.Option("--model", help="The model directory. Default: the edge model that is here.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="The agent's, for its packed weights.")] = None,
    seconds: Annotated[float, typer.Option(min=1.0, max=3600.0, help="How long to measure, about.")] = SECONDS,
    as_json: AsJson = False,
) -> None:
    """Measure this device: load, first token, prefill, decode, memory and energy, by threads."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from edgewise.local.models import find_model

    try:
        import msgspec

        from edge_agent.bench import bench as measure
    except ModuleNotFoundError as error:
        raise _missing(error.name) from error
    directory = model or find_model("edge").path
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        found = measure(directory, _machine_dir(data_dir), seconds, progress)
    if as_json:
        typer.echo(msgspec.json.encode(found, order="sorted").decode())
    else:
        show(found)


def show(found: DeviceTable) -> None:
    """Print the table, and what to take from it."""
    from edge_agent.bench import words

    cores = f"{found.cores} core{'s' if found.cores > 1 else ''}"
    print_table(COLUMNS, [_cells(words(row), row) for row in found.rows], f"{found.model} on this device ({cores})")
    for each in found.failed:
        typer.echo(f"{words(each)}: could not be run ({each.reason})")
    first = found.rows[0]
    kib = first.kv_bytes_per_token / 1024
    typer.echo(f"Each token of context takes {kib:.1f} KiB of cache, {kib / 2:.0f} MiB for 512 tokens.")
    typer.echo(f"Prefill reads {first.prefill_tokens} tokens. Energy: {first.energy_source or _NOT_MEASURED}.")
    typer.echo(f"Best here: --threads {found.best_threads} (EDGEWISE_AGENT_THREADS={found.best_threads}).")
    if found.spinning_gain is not None:
        typer.echo(f"Spinning threads decode at {found.spinning_gain:.2f}× of that.")
    if found.busy_pct >= _BUSY_PCT:
        typer.echo(
            f"The processor was {found.busy_pct:.0f} % busy with other work just before: this is what is left of the "
            "device, not what it can do."
        )


def _cells(name: str, row: Measured) -> tuple[str, ...]:
    sizes = ("" if size is None else f"{size:.0f}" for size in (row.rss_mb, row.anonymous_mb))
    joules = _NOT_MEASURED if row.joules_per_token is None else f"{row.joules_per_token:.3g}"
    speeds = (f"{row.prefill_tokens_per_s:.1f}", f"{row.decode_tokens_per_s:.1f}")
    return (name, f"{row.load_s:.2f}", f"{row.first_token_ms:.1f}", *speeds, *sizes, joules)


def _machine_dir(data_dir: Path | None) -> Path:
    """Where the agent keeps what it found out about this machine: packed once, used by both."""
    from edge_agent.config import AgentConfig
    from edgewise.settings import make_data_dir

    config = AgentConfig.load(model_dir=Path(), data_dir=data_dir)
    make_data_dir(config.data_dir)
    return config.data_dir / "machine"


def _missing(package: str | None) -> ConfigError:
    return ConfigError(
        f"Measuring needs the package {package}, which is not installed",
        where="edgewise agent bench",
        expected="an installation with the extra edge",
        remedy="pip install 'edgewise[edge]'",
    )
