"""AgentConfig: every setting of the edge agent, from explicit arguments first, then EDGEWISE_AGENT_* variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.runtime.context import ContextMode
from edge_agent.runtime.numerics import Numerics
from edgewise import settings
from edgewise.settings import Setting, SettingsTable
from edgewise.signing import PublicKey
from edgewise.wire.errors import ConfigError
from edgewise.wire.limits import LEASE_S

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
THREADS_MAX = 4
SPECULATION = ("auto", "off")
SPINNING = ("off", "auto")
LADDER = ("auto", "off")
ADAPTER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _parse_policy_keys(text: str) -> tuple[PublicKey, ...]:
    return tuple(PublicKey.read(part) for part in text.split(",") if part.strip())


def _parse_adapters(text: str) -> dict[str, Path]:
    pairs = settings.parse_pairs(text)
    if not all(value and ADAPTER_NAME.fullmatch(name) for name, value in pairs.items()):
        raise ValueError(text)
    return {name: Path(value) for name, value in pairs.items()}


SETTINGS = SettingsTable(
    "EDGEWISE_AGENT_",
    {
        "model_dir": settings.model_directory(),
        "data_dir": settings.directory("--data-dir"),
        "name": settings.node_name(),
        "url": settings.control_plane_url(optional=True),
        "key": Setting("an ek_… key with the role node", shown=False),
        "key_file": settings.file("--key-file", "keys.json, or a file with one node key"),
        "app_key": Setting("an ek_… key with the role app", shown=False),
        "app_key_file": settings.file("--app-key-file", "keys.json, or a file with one app key"),
        "local_key": Setting("what apps on the device must show", shown=False),
        "local_host": Setting(f"one of {', '.join(LOOPBACK_HOSTS)}", fits=lambda host: host in LOOPBACK_HOSTS),
        "local_port": settings.port("--local-port"),
        "device_facts": settings.file("--device-facts", "a JSON file"),
        "threads": settings.count("--threads"),
        "slots": settings.count("--slots"),
        "max_queue": settings.count(),
        "numerics": Setting(f"one of {', '.join(Numerics)}", Numerics, flag="--numerics"),
        "speculation": Setting(f"one of {', '.join(SPECULATION)}", fits=lambda choice: choice in SPECULATION),
        "spinning": Setting(f"one of {', '.join(SPINNING)}", fits=lambda choice: choice in SPINNING),
        "ladder": Setting(f"one of {', '.join(LADDER)}", fits=lambda choice: choice in LADDER),
        "context": Setting(f"one of {', '.join(ContextMode)}", ContextMode),
        "memory_reserve_mb": Setting("MiB, 0 or more", int, lambda mib: mib >= 0),
        "prefix_cache_mb": Setting("MiB, 0 or more", int, lambda mib: mib >= 0),
        "prefix_disk_mb": Setting("MiB, 0 or more", int, lambda mib: mib >= 0),
        "prefix_disk_s": settings.seconds(),
        "throttle_tokens_per_s": settings.tokens_per_s("--throttle"),
        "sample_interval_s": settings.seconds(),
        "stream_ttl_s": settings.seconds(),
        "lease_s": settings.seconds(),
        "policy_keys": Setting("ed25519:… public keys, separated by commas", _parse_policy_keys),
        "adapters": Setting("NAME=FILE pairs, separated by commas", _parse_adapters, flag="--adapter"),
        "default_adapter": Setting("the name of an adapter"),
        "labels": Setting("name=value pairs, separated by commas", settings.parse_pairs, flag="--label"),
    },
)


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Settings; units are in the names. Every instance is checked, so it is usable as it stands.

    url: the control plane (`http://host:8080` or `ws://…`); empty runs the device by itself for good.
    key, key_file: the node key for the session. app_key, app_key_file: an app key, with which answers may be asked of
    the cloud; without one, that of a key_file which is keys.json. A file stands over the key beside it.
    local_key: what apps on this device must show; empty lets every local app in.
    device_facts: a JSON file of facts that stand over the sensors. threads: None chooses by the cores there are.
    numerics: how many rows calls of the model have, and so what is exact and what may be drafted (docs/adr/0030).
    speculation: `auto` drafts tokens where the numerics allow it and it pays, `off` never does.
    spinning: `auto` lets waiting threads spin while the ladder finds the machine idle, `off` never does.
    ladder: `auto` does less under want of memory, heat, a low battery or other work (docs/adr/0035), `off` never.
    context: `full` keeps a row for every token, `windowed` bounds the rows of long texts (docs/adr/0034).
    memory_reserve_mb: MiB of memory that answers leave to others; None leaves a twentieth, 64 to 512 MiB.
    prefix_cache_mb: MiB of contexts kept for later prompts; 0 keeps only what slots hold. prefix_disk_mb: MiB of
    them on disk, each for prefix_disk_s; None saves where nobody else can look into data_dir, and nothing elsewhere.
    throttle_tokens_per_s: the fastest that an answer may be written, per answer; None is no limit.
    adapters: files of `edgewise model adapter` by name; `MODEL:NAME` asks for one. default_adapter: the one that other
    names mean; empty means the bare model (docs/adr/0036).
    policy_keys: who may sign policy bundles; empty trusts the key of the first control plane that is met.
    """

    model_dir: Path
    data_dir: Path = Path(".edgewise/agent")
    name: str = "edge-0"
    url: str = ""
    key: str = field(default="", repr=False)
    key_file: Path | None = None
    app_key: str = field(default="", repr=False)
    app_key_file: Path | None = None
    local_key: str = field(default="", repr=False)
    local_host: str = "127.0.0.1"
    local_port: int = 8090
    device_facts: Path | None = None
    threads: int | None = None
    slots: int = 2
    max_queue: int = 16
    numerics: Numerics = Numerics.ONE_ROW
    speculation: str = "auto"
    spinning: str = "off"
    ladder: str = "auto"
    context: ContextMode = ContextMode.FULL
    memory_reserve_mb: int | None = None
    prefix_cache_mb: int = 64
    prefix_disk_mb: int | None = None
    prefix_disk_s: float = 24 * 3600.0
    throttle_tokens_per_s: float | None = None
    sample_interval_s: float = 10.0
    stream_ttl_s: float = 3600.0
    lease_s: float = LEASE_S
    policy_keys: tuple[PublicKey, ...] = ()
    adapters: dict[str, Path] = field(default_factory=dict)
    default_adapter: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        SETTINGS.check(self)
        if self.default_adapter and self.default_adapter not in self.adapters:
            raise ConfigError(
                f"There is no adapter {self.default_adapter[:80]!r} to be the default",
                where=SETTINGS.ways("default_adapter"),
                expected=f"one of {', '.join(self.adapters)}" if self.adapters else "no name, as there are no adapters",
                remedy=f"name its file: {SETTINGS.ways('adapters')}",
            )

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> AgentConfig:
        """Settings from arguments that are not None, then from the variables. Raises ConfigError."""
        return SETTINGS.load(cls, environ, explicit)

    @property
    def node_key(self) -> str:
        """The key of the session; empty when there is none. Raises ConfigError when its file cannot be used."""
        return settings.read_keys(self.key_file, "node")["node"] if self.key_file else self.key

    @property
    def cloud_key(self) -> str:
        """The key for answers from the cloud; empty when there is none. Raises ConfigError as above."""
        if self.app_key_file:
            return settings.read_keys(self.app_key_file, "app")["app"]
        if self.app_key or not self.key_file:
            return self.app_key
        return settings.read_keys(self.key_file, "node").get("app", "")

    @property
    def engine_threads(self) -> int:
        """Threads of the engine."""
        return self.threads or settings.default_threads(THREADS_MAX)
