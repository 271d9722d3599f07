"""`edgewise control | worker | agent`: one process alone, as `edgewise up` starts it and as a fleet runs it."""

from __future__ import annotations

import importlib
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from edgewise.local.keys_file import KeysFile, read_keys
from edgewise.local.leash import watch_parent
from edgewise.wire.errors import ConfigError, ModelMissingError

ROLES = {"control": "control", "worker": "worker", "agent": "edge"}
"""Command → the extra of the installation that it needs."""
_OURS = ("edgewise", "policies", "control_plane", "cloud_worker", "edge_agent", "migrations")
_SERVER = "log-server"

ModelDir = Annotated[Path | None, typer.Option("--model", help="The model directory.")]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="keys.json, or a file with one node key.")]
Throttle = Annotated[float | None, typer.Option("--throttle", help="The most tokens/s per answer.")]


def is_role(arguments: Sequence[str]) -> bool:
    """Whether this command line starts a process that a supervisor may watch."""
    return any(word in {*ROLES, _SERVER} for word in arguments[:2])


def control(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="SQLite, keys and spill files.")] = None,
    log_url: Annotated[str | None, typer.Option(help="The token log: redis://… or unix://…")] = None,
    database_url: Annotated[str | None, typer.Option(help="The database; SQLite when left out.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="NAME=DIR", help="May be given again.")] = None,
) -> None:
    """Run the control plane."""
    main, config = _modules("control", "control_plane")
    loaded = config.ControlConfig.load(
        host=host,
        port=port,
        data_dir=data_dir,
        log_url=log_url,
        database_url=database_url,
        models=_named_models(model) if model else None,
    )
    _serve(main.run_control(loaded))


def worker(
    url: Annotated[str | None, typer.Option(help="The control plane.")] = None,
    key_file: KeyFile = None,
    name: Annotated[str | None, typer.Option(help="The node's name.")] = None,
    model: ModelDir = None,
    data_dir: Annotated[Path | None, typer.Option(help="The worker's own files.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    throttle: Throttle = None,
) -> None:
    """Run a cloud worker."""
    main, config = _modules("worker", "cloud_worker")
    loaded = config.WorkerConfig.load(
        url=url,
        key=_keys(key_file).node or None,
        name=name,
        model_dir=model,
        data_dir=data_dir,
        device=device,
        throttle_tokens_per_s=throttle,
    )
    _serve(main.run_worker(loaded))


def agent(
    url: Annotated[str | None, typer.Option(help="The control plane; none is fine.")] = None,
    key_file: KeyFile = None,
    name: Annotated[str | None, typer.Option(help="The node's name.")] = None,
    model: ModelDir = None,
    data_dir: Annotated[Path | None, typer.Option(help="Policies, telemetry and streams of the device.")] = None,
    local_port: Annotated[int | None, typer.Option(help="The loopback port for apps on the device.")] = None,
    device_facts: Annotated[Path | None, typer.Option(help="JSON of facts that stand over the sensors.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="shared=true offers the device to every request.")
    ] = None,
    throttle: Throttle = None,
) -> None:
    """Run an edge agent."""
    main, config = _modules("agent", "edge_agent")
    keys = _keys(key_file)
    loaded = config.AgentConfig.load(
        url=url,
        key=keys.node or None,
        app_key=keys.app or None,
        name=name,
        model_dir=model,
        data_dir=data_dir,
        local_port=local_port,
        device_facts=device_facts,
        labels=_labels(label) if label else None,
        throttle_tokens_per_s=throttle,
    )
    _serve(main.run_agent(loaded))


def log_server(data_dir: Annotated[Path, typer.Option(help="Where the token log is kept.")]) -> None:
    """Run the embedded token log for `edgewise up`."""
    from edgewise.local.log_server import run_log_server

    _serve(run_log_server(data_dir))


def _serve(work: Coroutine[Any, Any, None]) -> None:
    import asyncio
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    watch_parent()
    asyncio.run(work)


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


def _keys(path: Path | None) -> KeysFile:
    """The keys in a file: keys.json with all of them, or one node key as it stands. Raises ConfigError."""
    if path is None:
        return KeysFile()
    keys = read_keys(path)
    if keys.node:
        return keys
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_key_file(path, str(error)) from error
    if not text.startswith("ek_") or len(text.split()) != 1:
        raise _bad_key_file(path, "it holds no key")
    return KeysFile(node=text)


def _bad_key_file(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"The key file cannot be used: {why}",
        where=str(path),
        expected="keys.json, or a file with one ek_… key",
        remedy="start the control plane first, which writes keys.json, or make a key with `edgewise keys create`",
    )


def _labels(pairs: Sequence[str]) -> dict[str, str]:
    """`name=value` pairs. Raises ConfigError."""
    found = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    if not all(found) or not all("=" in pair for pair in pairs):
        raise ConfigError("A label has no name or no value", where="--label", expected="NAME=VALUE")
    return found


def _named_models(pairs: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pair in pairs:
        name, _, directory = pair.partition("=")
        if not name or not directory:
            raise ConfigError(f"{pair!r} names no model", where="--model", expected="NAME=DIR")
        if not Path(directory).is_dir():
            raise ModelMissingError(
                f"There is no directory for the model {name}", where=directory, remedy="correct --model NAME=DIR"
            )
        found[name] = Path(directory)
    return found


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (control, worker, agent):
        app.command(rich_help_panel="One process alone")(command)
    app.command(_SERVER, hidden=True)(log_server)
