"""The all-in-one stack on one machine: token log, broker, control plane, jobs, one cloud worker and one edge agent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edgewise.local.embedded_server import read_address
from edgewise.local.events import Report, StackEvent
from edgewise.local.keys_file import KEYS_FILE, read_keys
from edgewise.local.models import ModelDirectory, TierName, find_model
from edgewise.local.preflight import check_port, locked, prepare_data_dir
from edgewise.local.probes import http_ok, socket_of, valkey_answers
from edgewise.local.shell import ChildSpec, Shell
from edgewise.local.supervisor import ChildRules
from edgewise.local.valkey import BROKER, TOKEN_LOG, ServerKind
from edgewise.signals import calling_on_stop
from edgewise.wire.errors import ModelMissingError

WORKER, AGENT = "worker-0", "edge-0"
_SERVER_KINDS = {"token-log": ("log-server", TOKEN_LOG), "broker": ("broker-server", BROKER)}
JOBS_READY_FILE = "jobs.ready"
JOBS_CONCURRENCY = 2
CONTROL_DRAIN_S = "10"
"""Shorter than a gateway's default: nobody here takes its answers over before it is started again."""
_ANY_HOST = {"", "0.0.0.0", "::"}  # noqa: S104 (compared with, not listened on)


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """Settings of `edgewise up`. Ports are TCP ports; `edge_port` None is the port after `port`.

    log_url, broker_url and database_url: servers of yours instead of the embedded ones. edge, worker, jobs: whether to
    start each.
    device_facts: a JSON file of facts that stand over the device's sensors.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path = Path(".edgewise")
    edge_port: int | None = None
    edge_model: Path | None = None
    cloud_model: Path | None = None
    edge: bool = True
    worker: bool = True
    jobs: bool = True
    log_url: str = field(default="", repr=False)
    broker_url: str = field(default="", repr=False)
    database_url: str = field(default="", repr=False)
    throttle_edge_tokens_per_s: float | None = None
    throttle_cloud_tokens_per_s: float | None = None
    device_facts: Path | None = None

    @property
    def base_url(self) -> str:
        """Where the control plane is reached from this machine."""
        host = "127.0.0.1" if self.host in _ANY_HOST else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def agent_port(self) -> int:
        """The loopback port of the agent's own endpoint."""
        return self.port + 1 if self.edge_port is None else self.edge_port

    @property
    def edge_url(self) -> str:
        """Where apps on the device reach the agent; empty without one."""
        return f"http://127.0.0.1:{self.agent_port}" if self.edge else ""

    @property
    def keys_file(self) -> Path:
        """The first keys."""
        return self.data_dir / KEYS_FILE


async def run_stack(config: StackConfig, report: Report) -> None:
    """Check, start, watch, and stop on SIGINT or SIGTERM.

    Raises PortInUseError, DataDirError, ModelMissingError and ManifestError before anything starts; ChildFailedError.
    """
    models = Models.find(config)
    check_port(config.host, config.port)
    if config.edge:
        check_port("127.0.0.1", config.agent_port, "--edge-port")
    prepare_data_dir(config.data_dir)
    with locked(config.data_dir):
        shell = Shell(
            stack_children(config, models),
            logs=config.data_dir / "logs",
            report=report,
            ready_event=lambda: _ready(config),
        )
        with calling_on_stop(shell.stop):
            await shell.run()


@dataclass(frozen=True)
class Models:
    """The model directories of the two tiers; that of a tier which is not started may be None."""

    edge: ModelDirectory | None
    cloud: ModelDirectory | None

    @staticmethod
    def find(config: StackConfig) -> Models:
        """Those of the tiers that are started, and of the other tier too where there is one of the same family: a node
        that joins later may offer it. Raises ModelMissingError, ManifestError."""
        edge = _find("edge", config.edge_model, needed=config.edge)
        cloud = _find("cloud", config.cloud_model, needed=config.worker)
        if edge and cloud and edge.family != cloud.family:
            return Models(edge if _is_wanted("edge", config) else None, cloud if _is_wanted("cloud", config) else None)
        return Models(edge, cloud)

    @property
    def all(self) -> list[ModelDirectory]:
        """Those that there are."""
        return [model for model in (self.edge, self.cloud) if model]


def _find(tier: TierName, given: Path | None, *, needed: bool) -> ModelDirectory | None:
    try:
        return find_model(tier, given)
    except ModelMissingError:
        if needed:
            raise
        return None


def _is_wanted(tier: TierName, config: StackConfig) -> bool:
    started, given = (config.edge, config.edge_model) if tier == "edge" else (config.worker, config.cloud_model)
    return started or given is not None


def _ready(config: StackConfig) -> StackEvent:
    return StackEvent(
        event="ready", base_url=config.base_url, edge_url=config.edge_url, keys_file=str(config.keys_file)
    )


# The children ---------------------------------------------------------------------------------------------------------


def stack_children(config: StackConfig, models: Models) -> list[ChildSpec]:
    """The children in start order."""
    children = [_server_child(config, name, *_SERVER_KINDS[name]) for name in _servers(config)]
    children.append(_control_child(config, models))
    if config.jobs:
        children.append(_jobs_child(config))
    if config.worker and models.cloud:
        children.append(_worker_child(config, models.cloud))
    if config.edge and models.edge:
        children.append(_agent_child(config, models.edge))
    return children


def _command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgewise.cli.main", *map(str, words)]


def _servers(config: StackConfig) -> tuple[str, ...]:
    """The embedded servers: their addresses must be known before anybody can be told."""
    log = () if config.log_url else ("token-log",)
    return log if config.broker_url or not config.jobs else (*log, "broker")


def _server_child(config: StackConfig, name: str, command: str, kind: ServerKind) -> ChildSpec:
    with suppress(FileNotFoundError):
        (config.data_dir / kind.address_file).unlink()

    async def answers() -> bool:
        address = read_address(config.data_dir, kind)
        return bool(address) and await valkey_answers(socket_of(address))

    return ChildSpec(
        rules=ChildRules(name=name, ready_within_s=30.0),
        command=lambda: _command(command, "--data-dir", config.data_dir),
        probe=answers,
    )


def _control_child(config: StackConfig, models: Models) -> ChildSpec:
    def command() -> list[str]:
        words: list[str | Path] = ["--host", config.host, "--port", str(config.port), "--data-dir", config.data_dir]
        for model in models.all:
            words += ["--model", model.path]
        return _command("control", *words)

    return ChildSpec(
        rules=ChildRules(name="control", needs=_servers(config), stop_within_s=20.0),
        command=command,
        probe=lambda: http_ok(config.base_url, "/readyz"),
        environ=lambda: _addresses(config) | {"EDGEWISE_DRAIN_S": CONTROL_DRAIN_S},
    )


def _addresses(config: StackConfig) -> dict[str, str]:
    """They may hold passwords, so they go by environment and not by command line."""
    found = {"EDGEWISE_LOG_URL": config.log_url or read_address(config.data_dir, TOKEN_LOG)}
    if config.jobs:
        found["EDGEWISE_BROKER_URL"] = config.broker_url or read_address(config.data_dir, BROKER)
    return found | ({"EDGEWISE_DATABASE_URL": config.database_url} if config.database_url else {})


def _jobs_child(config: StackConfig) -> ChildSpec:
    ready = config.data_dir / JOBS_READY_FILE

    def command() -> list[str]:
        ready.unlink(missing_ok=True)
        return _command("jobs", "--data-dir", config.data_dir, "--concurrency", str(JOBS_CONCURRENCY))

    async def serving() -> bool:
        return ready.exists()

    return ChildSpec(
        rules=ChildRules(name="jobs", needs=("control", *_servers(config)), stop_within_s=20.0),
        command=command,
        probe=serving,
        environ=lambda: _addresses(config) | {"EDGEWISE_JOBS_READY_FILE": str(ready)},
    )


def _worker_child(config: StackConfig, model: ModelDirectory) -> ChildSpec:
    words = ["--data-dir", str(config.data_dir / "worker"), *_throttle(config.throttle_cloud_tokens_per_s)]
    return _node_child(config, WORKER, "worker", model, words, 120.0)


def _agent_child(config: StackConfig, model: ModelDirectory) -> ChildSpec:
    words = ["--local-port", str(config.agent_port), "--data-dir", str(config.data_dir / "agent")]
    words += ["--label", "shared=true"]  # on one machine the device serves every request
    if config.device_facts:
        words += ["--device-facts", str(config.device_facts)]
    return _node_child(config, AGENT, "agent", model, [*words, *_throttle(config.throttle_edge_tokens_per_s)], 60.0)


def _throttle(tokens_per_s: float | None) -> list[str]:
    return [] if tokens_per_s is None else ["--throttle", str(tokens_per_s)]


def _node_child(
    config: StackConfig, name: str, role: str, model: ModelDirectory, more: Sequence[str], ready_within_s: float
) -> ChildSpec:
    words: list[str | Path] = [
        "--url",
        config.base_url,
        "--key-file",
        config.keys_file,
        "--name",
        name,
        "--model",
        model.path,
    ]

    async def connected() -> bool:
        key = read_keys(config.keys_file).operator
        return bool(key) and await http_ok(config.base_url, f"/admin/v1/nodes/{name}", key)

    return ChildSpec(
        rules=ChildRules(name=name, needs=("control",), ready_within_s=ready_within_s),
        command=lambda: _command(role, *words, *more),
        probe=connected,
    )
