"""`edgewise up`: the whole stack on this machine, in one command."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.connection import DATA_DIR

if TYPE_CHECKING:
    from edgewise.local.events import StackEvent


def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The control plane's port.")] = 8080,
    data_dir: Annotated[Path, typer.Option(envvar="EDGEWISE_DATA_DIR", help="Data, keys and logs.")] = DATA_DIR,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    edge_port: Annotated[int | None, typer.Option(min=1, max=65535, help="The agent's. Default: PORT + 1.")] = None,
    edge_model: Annotated[Path | None, typer.Option(help="The edge agent's model directory.")] = None,
    cloud_model: Annotated[Path | None, typer.Option(help="The cloud worker's model directory.")] = None,
    edge: Annotated[bool, typer.Option("--edge/--no-edge", help="Start the edge agent.")] = True,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Start the cloud worker.")] = True,
    jobs: Annotated[bool, typer.Option("--jobs/--no-jobs", help="Start the broker and the durable jobs.")] = True,
    throttle_edge: Annotated[float | None, typer.Option(help="The edge tier's limit, tokens/s per answer.")] = None,
    throttle_cloud: Annotated[float | None, typer.Option(help="The cloud tier's limit, tokens/s per answer.")] = None,
    device_facts: Annotated[Path | None, typer.Option(help="JSON of device facts that stand over sensors.")] = None,
    log_url: Annotated[str, typer.Option(envvar="EDGEWISE_LOG_URL", help="Your Valkey or Redis.")] = "",
    broker_url: Annotated[str, typer.Option(envvar="EDGEWISE_BROKER_URL", help="Your broker for jobs.")] = "",
    database_url: Annotated[str, typer.Option(envvar="EDGEWISE_DATABASE_URL", help="Your database.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per event.")] = False,
) -> None:
    """Start everything, and stop it again with Ctrl-C."""
    import asyncio

    from edgewise.local.stack import StackConfig, run_stack

    config = StackConfig(
        host=host,
        port=port,
        data_dir=data_dir,
        edge_port=edge_port,
        edge_model=edge_model,
        cloud_model=cloud_model,
        edge=edge,
        worker=worker,
        jobs=jobs,
        log_url=log_url,
        broker_url=broker_url,
        database_url=database_url,
        throttle_edge_tokens_per_s=throttle_edge,
        throttle_cloud_tokens_per_s=throttle_cloud,
        device_facts=device_facts,
    )
    asyncio.run(run_stack(config, print_json_line if as_json else Announcer(data_dir)))


def print_json_line(event: StackEvent) -> None:
    """One JSON object a line."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
    sys.stdout.flush()


class Announcer:
    """Says what happens in words."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def __call__(self, event: StackEvent) -> None:
        typer.echo(self.words(event))

    def words(self, event: StackEvent) -> str:
        """The line, or lines, for one event."""
        name = f"  {event.child:<10}"
        match event.event:
            case "child_starting":
                return f"{name}starts (log {event.log})"
            case "child_ready":
                return f"{name}is ready"
            case "child_crashed":
                return f"{name}{event.why}; it starts again in {event.restart_in_s or 0:g} s (log {event.log})"
            case "child_failed":
                return f"{name}{event.why}; stopping the rest"
            case "child_stopping":
                return f"{name}stops"
            case "stopped":
                return "Edgewise is stopped."
            case "ready":
                return self._ready(event)

    def _ready(self, event: StackEvent) -> str:
        command, options = command_name(), "" if self._data_dir == DATA_DIR else f" --data-dir {self._data_dir}"
        lines = ["", f"Edgewise is ready at {event.base_url}", f"  keys      {event.keys_file}"]
        if event.edge_url:
            lines.append(f"  device    {event.edge_url} (the edge agent's own endpoint)")
        lines += ["Try, in another terminal:"]
        lines += [f"  {command} {words}{options}" for words in ('ask "Hello!"', 'ask "你好" --mode cloud', "status")]
        return "\n".join([*lines, "Ctrl-C stops it.", ""])


def command_name() -> str:
    """How this command is called here: by name where the PATH has it, else by where it lies."""
    beside = Path(sys.executable).with_name("edgewise")
    found = shutil.which("edgewise")
    if (found and Path(found) == beside) or not beside.is_file():
        return "edgewise"
    here = Path.cwd()
    return str(beside.relative_to(here)) if beside.is_relative_to(here) else str(beside)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)
