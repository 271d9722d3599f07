"""ControlConfig: every setting of the control plane, from explicit arguments first, then EDGEWISE_* variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from control_plane.engines import POOL_SIZE, sqlite_url
from control_plane.upstreams.kinds import KindName
from control_plane.usage.limits import Prices, parse_prices, prices_fit
from edgewise import settings
from edgewise.settings import Setting, SettingsTable, is_address
from edgewise.wire.limits import LEASE_S

DATABASE_FILE = "edgewise.sqlite3"
POLICY_KEY_FILE = "policy-signing.key"
MAX_BUNDLE_DAYS = 3650


class UpstreamConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenAI-compatible engine used as a cloud tier. The key itself stays in the variable `api_key_env`;
    `continues` says whether it takes an open assistant turn, where its kind does not tell. `token_ids`: it has the
    tokenizer and the chat template of the models here, so that prompts go there as ids; it then reads `context_tokens`
    (0: as many as the models here). `ranked`: it serves by priority, so that ranks may be sent."""

    name: str
    base_url: str
    model: str
    api_key_env: str = ""
    kind: KindName = "openai"
    continues: bool | None = None
    token_ids: bool = False
    context_tokens: Annotated[int, msgspec.Meta(ge=0)] = 0
    ranked: bool = False


def _parse_upstreams(text: str) -> tuple[UpstreamConfig, ...]:
    try:
        return msgspec.json.decode(text, type=tuple[UpstreamConfig, ...])
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def _reachable(upstreams: tuple[UpstreamConfig, ...]) -> bool:
    return all(is_address(upstream.base_url, frozenset({"http", "https"})) for upstream in upstreams)


def is_log_url(url: str) -> bool:
    """Empty is the default: no log is configured yet."""
    return not url or urlsplit(url).scheme in {"redis", "rediss", "unix"}


def _parse_directories(text: str) -> tuple[Path, ...]:
    return tuple(Path(part.strip()) for part in text.split(",") if part.strip())


def parse_names(text: str) -> tuple[str, ...]:
    """Names, separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


BROKER_URL = Setting(
    "redis://host:port, rediss://…, unix:///path or amqp://user:password@host",
    fits=lambda url: not url or urlsplit(url).scheme in {"redis", "rediss", "unix", "amqp", "amqps"},
    flag="--broker-url",
    shown=False,
)
JOB_MODULES = Setting("importable modules with kinds of jobs, separated by commas", parse_names)

SETTINGS = SettingsTable(
    "EDGEWISE_",
    {
        "data_dir": settings.directory("--data-dir"),
        "host": Setting("an address to listen on", flag="--host"),
        "port": settings.port("--port"),
        "database_url": Setting("a database URL", flag="--database-url", shown=False),
        "database_pool_size": settings.count(),
        "log_url": Setting(
            "redis://host:port, rediss://… or unix:///path", fits=is_log_url, flag="--log-url", shown=False
        ),
        "broker_url": BROKER_URL,
        "job_modules": JOB_MODULES,
        "public_base_url": Setting("the address that clients use", flag="--public-base-url"),
        "models": Setting("model directories, separated by commas", _parse_directories, flag="--model"),
        "upstreams": Setting(
            'JSON such as [{"name": "gpu-1", "kind": "vllm", "base_url": "http://host:8000/v1", "model": "m"}]',
            _parse_upstreams,
            _reachable,
            shown=False,
        ),
        "allow_unregistered_models": Setting("1 or 0", settings.parse_switch),
        "lease_s": settings.seconds(),
        "drain_s": settings.seconds(),
        "stream_ttl_s": settings.seconds(),
        "unsealed_ttl_s": settings.seconds(),
        "decision_queue_max": settings.count(),
        "prices": Setting(
            'JSON such as {"cloud": {"prompt_per_1k": 500, "completion_per_1k": 1500}}, in micro-units',
            parse_prices,
            prices_fit,
        ),
        "policy_signing_key": settings.file(expected="a file that holds the key, or is to be made"),
        "policy_bundle_days": Setting("days above 0, such as 30", float, lambda days: 0 < days <= MAX_BUNDLE_DAYS),
        "gateway_name": Setting("a short name for people", fits=lambda name: len(name) <= 64),
    },
)


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """Settings; units are in the names. Every instance is checked, so it is usable as it stands.

    models: model directories, each known by its manifest's name. database_url and log_url: empty means the SQLite file
    in the data dir and the embedded Valkey that the launcher passes. lease_s: how long a silent runner keeps its
    stream. drain_s: how long running answers may go on when this process is told to stop. stream_ttl_s: how long a
    finished stream stays in the token log after it is sealed to SQL; unsealed_ttl_s: while it is not. prices: what 1000
    tokens cost by kind of tier, in micro-units. broker_url: that of the jobs; without one, orphaned streams are taken
    up by this process at once. policy_signing_key: the file with the private key of policy bundles, the same for all
    gateways; None is POLICY_KEY_FILE in the data dir. policy_bundle_days: how long devices may decide by a bundle; it
    is renewed when half of that is over.
    """

    data_dir: Path = Path(".edgewise")
    host: str = "127.0.0.1"
    port: int = 8080
    database_url: str = field(default="", repr=False)
    database_pool_size: int = POOL_SIZE
    log_url: str = field(default="", repr=False)
    broker_url: str = field(default="", repr=False)
    job_modules: tuple[str, ...] = ()
    public_base_url: str = ""
    models: tuple[Path, ...] = ()
    upstreams: tuple[UpstreamConfig, ...] = ()
    allow_unregistered_models: bool = False
    lease_s: float = LEASE_S
    drain_s: float = 20.0
    stream_ttl_s: float = 3600.0
    unsealed_ttl_s: float = 24 * 3600.0
    decision_queue_max: int = 10_000
    prices: Prices = field(default_factory=Prices)
    policy_signing_key: Path | None = None
    policy_bundle_days: float = 30.0
    gateway_name: str = ""

    def __post_init__(self) -> None:
        SETTINGS.check(self)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> ControlConfig:
        """Settings from arguments that are not None, then from the variables. Raises ConfigError."""
        return SETTINGS.load(cls, environ, explicit)

    @property
    def sql_url(self) -> str:
        """The configured database, or the SQLite file in the data dir."""
        return self.database_url or sqlite_url(self.data_dir / DATABASE_FILE)

    @property
    def policy_key_file(self) -> Path:
        """Where the private key of policy bundles is."""
        return self.policy_signing_key or self.data_dir / POLICY_KEY_FILE

    @property
    def base_url(self) -> str:
        """Where clients reach this control plane."""
        if self.public_base_url:
            return self.public_base_url.rstrip("/")
        host = "127.0.0.1" if self.host in {"", "0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
