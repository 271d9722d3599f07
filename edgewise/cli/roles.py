"""`edgewise control | jobs | worker | forge | agent`: one process alone, as `edgewise up` or a fleet runs it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Coroutine, Sequence
from itertools import dropwhile
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from edgewise.cli import agent_bench, agent_models
from edgewise.local.leash import watch_parent
from edgewise.wire.errors import ConfigError

ROLES = {"control": "control", "jobs": "control", "worker": "worker", "forge": "forge", "agent": "edge"}
"""Command → the extra of the installation that it needs."""
_OURS = ("edgewise", "policies", "control_plane", "cloud_worker", "edge_agent", "migrations")
_SERVERS = ("log-server", "broker-server")
_BENCH = "bench"
_BESIDE = (_BENCH, "models")
"""Commands of `edgewise agent` that run none."""
_PANEL = "One process alone"

Name = Annotated[str | None, typer.Option(help="The node's name.")]
ModelDir = Annotated[Path | None, typer.Option("--model", help="The model directory.")]
KeyFile = Annotated[Path | None, typer.Option(help="keys.json, or a file with one node key.")]
Threads = Annotated[int | None, typer.Option(help="The engine's threads. Default: by the cores there are.")]
Slots = Annotated[int | None, typer.Option(help="Answers at the same time.")]
Throttle = Annotated[float | None, typer.Option("--throttle", help="The most tokens/s per answer.")]


def is_role(arguments: Sequence[str]) -> bool:
    """Whether this command line starts a process that a supervisor may watch (`agent bench` and `models` do not)."""
    command, *rest = [*dropwhile(lambda word: word.startswith("-"), arguments), ""]
    return command in {*ROLES, *_SERVERS} and not (command == "agent" and rest and rest[0] in _BESIDE)


# Parameters are named as the settings are, so that `locals()` is what the config takes; docs/settings.md has the rest.


def control(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="SQLite, keys and spill files.")] = None,
    log_url: Annotated[str | None, typer.Option(help="The token log: redis://… or unix://…")] = None,
    database_url: Annotated[str | None, typer.Option(help="The database; SQLite when left out.")] = None,
    broker_url: Annotated[str | None, typer.Option(help="The broker of jobs, where there are any.")] = None,
    public_base_url: Annotated[str | None, typer.Option(help="Where clients reach it, behind a proxy.")] = None,
    models: Annotated[
        list[Path] | None, typer.Option("--model", metavar="DIR", help="A model directory; may be given again.")
    ] = None,
) -> None:
    """Run the control plane."""
    given = locals() | {"models": tuple(models) if models else None}
    main, config = _modules("control", "control_plane")
    _serve(main.run_control(config.ControlConfig.load(**given)), _fast_loop())


def worker(
    url: Annotated[str | None, typer.Option(help="The control plane; none is fine with --http.")] = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve OpenAI's API itself; with or without --url.")
    ] = None,
    key_file: KeyFile = None,
    name: Name = None,
    model_dir: ModelDir = None,
    draft_model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A small model of the same tokenizer, which drafts.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="The worker's own files.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16. Default: float32.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="as-stored, int8, int8-dynamic or int4. Default: as-stored.")
    ] = None,
    threads: Threads = None,
    slots: Slots = None,
    throttle_tokens_per_s: Throttle = None,
) -> None:
    """Run a cloud worker."""
    given = locals()
    main, config = _modules("worker", "cloud_worker")
    _serve(main.run_worker(config.WorkerConfig.load(**given)))


def forge(
    url: Annotated[str | None, typer.Option(help="The control plane.")] = None,
    key_file: KeyFile = None,
    name: Name = None,
    data_dir: Annotated[Path | None, typer.Option(help="The jobs' folders, and what they make.")] = None,
    roots: Annotated[
        list[Path] | None, typer.Option("--root", metavar="DIR", help="Where jobs find models; may be given again.")
    ] = None,
    kinds: Annotated[str | None, typer.Option(help="Kinds to claim. Default: all.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of a job. Default: by the cores there are.")] = None,
) -> None:
    """Run forge jobs: training, quantization, export, evaluation, import."""
    given = locals() | {"roots": tuple(roots) if roots else None}
    main, config = _modules("forge", "cloud_worker.forge.jobs")
    _serve(main.run_forge(config.ForgeConfig.load(**given)))


def agent(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="The control plane; none is fine.")] = None,
    key_file: KeyFile = None,
    app_key_file: Annotated[Path | None, typer.Option(help="An app key for the cloud, if not in --key-file.")] = None,
    name: Name = None,
    model_dir: ModelDir = None,
    data_dir: Annotated[Path | None, typer.Option(help="Policies, telemetry and streams of the device.")] = None,
    local_port: Annotated[int | None, typer.Option(help="The loopback port for apps on the device.")] = None,
    device_facts: Annotated[Path | None, typer.Option(help="JSON of facts that stand over the sensors.")] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=VALUE", help="shared=true offers the device to every request."),
    ] = None,
    adapters: Annotated[
        list[str] | None,
        typer.Option("--adapter", metavar="NAME=FILE", help="Serve an adapter as MODEL:NAME. May be given again."),
    ] = None,
    threads: Threads = None,
    slots: Slots = None,
    numerics: Annotated[str | None, typer.Option(help="one-row, many-row or mixed. Default: one-row.")] = None,
    throttle_tokens_per_s: Throttle = None,
) -> None:
    """Run an edge agent; `agent bench` measures this device, `agent models` keeps its models."""
    given = {name: value for name, value in locals().items() if name != "context"}
    given["labels"] = ",".join(labels) if labels else None
    given["adapters"] = ",".join(adapters) if adapters else None
    if context.invoked_subcommand:
        if set(given.values()) != {None}:
            raise typer.BadParameter(f"options of the agent do not go before {context.invoked_subcommand}")
        return
    main, config = _modules("agent", "edge_agent")
    _serve(main.run_agent(config.AgentConfig.load(**given)))


def jobs(
    data_dir: Annotated[Path | None, typer.Option(help="SQLite, and what jobs write.")] = None,
    log_url: Annotated[str | None, typer.Option(help="The token log: redis://… or unix://…")] = None,
    database_url: Annotated[str | None, typer.Option(help="The database; SQLite when left out.")] = None,
    broker_url: Annotated[str | None, typer.Option(help="redis://…, rediss://…, unix://… or amqp://…")] = None,
    jobs_concurrency: Annotated[int | None, typer.Option("--concurrency", help="Child processes.")] = None,
    jobs_queues: Annotated[str | None, typer.Option("--queues", help="Those to serve. Default: all.")] = None,
) -> None:
    """Run durable jobs."""
    given = locals()
    main, config = _modules("jobs", "control_plane.jobs")
    _prepare()
    raise typer.Exit(main.run_jobs(config.JobsConfig.load(**given)))


def log_server(data_dir: Annotated[Path, typer.Option(help="Where the token log is kept.")]) -> None:
    """Run the embedded token log for `edgewise up`."""
    from edgewise.local.embedded_server import run_embedded_server
    from edgewise.local.valkey import TOKEN_LOG

    _serve(run_embedded_server(data_dir, TOKEN_LOG))


def broker_server(data_dir: Annotated[Path, typer.Option(help="Where the jobs' broker is kept.")]) -> None:
    """Run the embedded broker of jobs for `edgewise up`."""
    from edgewise.local.embedded_server import run_embedded_server
    from edgewise.local.valkey import BROKER

    _serve(run_embedded_server(data_dir, BROKER))


def _prepare() -> None:
    """Log lines to stderr, and no life beyond the parent's."""
    from edgewise.observability.config import log_format
    from edgewise.observability.logs import configure

    configure(log_format())
    watch_parent()


def _serve(work: Coroutine[Any, Any, None], loop_factory: Callable[[], Any] | None = None) -> None:
    import asyncio

    _prepare()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(work)


def _fast_loop() -> Callable[[], Any] | None:
    """uvloop's event loop, where it is installed (the extra `control` brings it); None is asyncio's own."""
    try:
        return importlib.import_module("uvloop").new_event_loop  # type: ignore[no-any-return]
    except ModuleNotFoundError:
        return None


def _modules(role: str, package: str) -> tuple[ModuleType, ModuleType]:
    """The main and the config of a process. Raises ConfigError when its extra is not installed."""
    try:
        return importlib.import_module(f"{package}.main"), importlib.import_module(f"{package}.config")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        raise ConfigError(
            f"The {role} needs the package {error.name}, which is not installed",
            where=f"edgewise {role}",
            expected=f"an installation with the extra {ROLES[role]}",
            remedy=f"pip install 'edgewise[{ROLES[role]}]'",
        ) from error


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (control, jobs, worker, forge):
        app.command(rich_help_panel=_PANEL)(command)
    device = typer.Typer(callback=agent, invoke_without_command=True)
    device.command(_BENCH)(agent_bench.bench)
    device.add_typer(agent_models.app)
    app.add_typer(device, name="agent", rich_help_panel=_PANEL)
    for name, server in zip(_SERVERS, (log_server, broker_server), strict=True):
        app.command(name, hidden=True)(server)
