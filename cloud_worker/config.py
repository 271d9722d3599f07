"""WorkerConfig: every setting of a cloud worker, from explicit arguments first, then EDGEWISE_WORKER_* variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud_worker.engine.gpu.device import usable_device
from cloud_worker.engine.model.linear import AS_STORED, KINDS
from cloud_worker.engine.numerics import EngineOptions, Numerics, Precision, Speculation, WeightKind
from edgewise import settings
from edgewise.api.web_pages import LOOPBACK
from edgewise.settings import Setting, SettingsTable
from edgewise.wire.errors import ConfigError

STREAMS = ("disk", "memory")
SPECULATION = ("auto", "off")
NUMERICS = ("exact", "fast")
_PORT_MAX = 65535


def parse_address(text: str) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT`, an IPv6 host in brackets; None for anything else."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    good = colon and host and port.isascii() and port.isdecimal() and len(port) < 6 and int(port) <= _PORT_MAX
    return (host, int(port)) if good else None


SETTINGS = SettingsTable(
    "EDGEWISE_WORKER_",
    {
        "model_dir": settings.model_directory(),
        "url": settings.control_plane_url(optional=True),
        "http": Setting(
            "HOST:PORT, such as 127.0.0.1:8100",
            fits=lambda text: not text or parse_address(text) is not None,
            flag="--http",
        ),
        "http_key": Setting("a text without spaces", fits=lambda key: len(key.split()) < 2, shown=False),
        "streams": Setting(f"one of {', '.join(STREAMS)}", fits=lambda place: place in STREAMS),
        "stream_ttl_s": settings.seconds(),
        "drain_s": settings.seconds(),
        "name": settings.node_name(),
        "key": Setting("an ek_… key with the role node", shown=False),
        "key_file": settings.file("--key-file", "keys.json, or a file with one node key"),
        "data_dir": settings.directory("--data-dir"),
        "device": Setting(
            "cpu, cuda or cuda:<n>", fits=lambda name: bool(re.fullmatch(r"cpu|cuda(:\d+)?", name)), flag="--device"
        ),
        "precision": Setting(
            "float32 or bfloat16", fits=lambda name: name in {"", "float32", "bfloat16"}, flag="--precision"
        ),
        "weights": Setting(f"one of {', '.join(KINDS)}", fits=lambda kind: kind in KINDS, flag="--weights"),
        "numerics": Setting(f"one of {', '.join(NUMERICS)}", fits=lambda choice: choice in NUMERICS),
        "threads": settings.count("--threads"),
        "slots": settings.count("--slots"),
        "max_queue": settings.count(),
        "kv_cache_mb": Setting("MiB, 1 or more", int, lambda mib: mib > 0),
        "draft_model": settings.model_directory("--draft-model"),
        "speculation": Setting(f"one of {', '.join(SPECULATION)}", fits=lambda choice: choice in SPECULATION),
        "throttle_tokens_per_s": settings.tokens_per_s("--throttle"),
        "sample_interval_s": settings.seconds(),
    },
)


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Settings; units are in the names. Every instance is checked, so it is usable as it stands.

    url: the control plane (`http://host:8080` or `ws://…`); without one there must be `http`, where the worker serves
    clients itself. http_key: what those must show; only a loopback address can do without. streams: where their answers
    are kept, `disk` or `memory`, for stream_ttl_s after their end. drain_s: what running ones get at a stop.
    key_file stands over key, and is keys.json or one node key.
    device: cpu, cuda or cuda:N. numerics: `exact`, or on a GPU `fast`, where a token's bits depend on its companions.
    precision: float32 or bfloat16; empty chooses bfloat16 on a GPU and beside rounded weights, float32 otherwise.
    weights: `as-stored`, or on the CPU rounded when they are loaded: `int8`, `int4`, `int8-dynamic` (activations, too).
    threads: None chooses 1 on up to two cores, else half of them. throttle_tokens_per_s: per answer; None is no limit.
    slots: answers made at once. kv_cache_mb: MiB of keys and values, those kept for prompts to come among them; None
    takes a quarter of what memory is free, at most what the slots can use. speculation: `auto` drafts tokens where it
    pays, `off` never does; neither changes an answer. draft_model: a small one of the same tokenizer that drafts, too.
    """

    model_dir: Path
    url: str = ""
    http: str = ""
    http_key: str = field(default="", repr=False)
    streams: str = "disk"
    stream_ttl_s: float = 600.0
    drain_s: float = 20.0
    name: str = "worker-0"
    key: str = field(default="", repr=False)
    key_file: Path | None = None
    data_dir: Path = Path(".edgewise/worker")
    device: str = "cpu"
    precision: str = ""
    weights: WeightKind = "as-stored"
    numerics: Numerics = "exact"
    threads: int | None = None
    slots: int = 16
    max_queue: int = 64
    kv_cache_mb: int | None = None
    draft_model: Path | None = None
    speculation: Speculation = "auto"
    throttle_tokens_per_s: float | None = None
    sample_interval_s: float = 10.0

    def __post_init__(self) -> None:
        SETTINGS.check(self)
        if not (self.url or self.http):
            raise ConfigError(
                "The worker serves nobody",
                where=f"{SETTINGS.ways('url')}, or {SETTINGS.ways('http')}",
                expected="a control plane to dial, an address to serve clients at, or both",
                remedy="give --url or --http",
            )
        if self.http_address and self.http_address[0] not in LOOPBACK and not self.http_key:
            raise ConfigError(
                f"Anybody who reaches {self.http} could use the worker",
                where=SETTINGS.ways("http_key"),
                expected="a key, where the address is not one of this machine alone",
                remedy=f"set {SETTINGS.variable('http_key')}, or serve at 127.0.0.1",
            )

        if self.draft_model is not None and self.speculation == "off":
            raise ConfigError(
                "There is a draft model, and speculation is off",
                where=f"{SETTINGS.ways('draft_model')}, {SETTINGS.ways('speculation')}",
                expected="drafts, or no model for them",
                remedy="leave one of the two out",
            )
        if self.draft_model is not None and self.device != "cpu":
            raise ConfigError(
                f"There are no draft models on {self.device}",
                where=f"{SETTINGS.ways('draft_model')}, {SETTINGS.ways('device')}",
                expected="a draft model on the CPU alone",
                remedy="leave it out",
            )

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> WorkerConfig:
        """Settings from arguments that are not None, then from the variables. Raises ConfigError."""
        return SETTINGS.load(cls, environ, explicit)

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Host and port to serve clients at; None for nowhere."""
        return parse_address(self.http)

    @property
    def node_key(self) -> str:
        """The key of the session. Raises ConfigError when there is none or its file cannot be used."""
        return SETTINGS.node_key(self.key, self.key_file)

    @property
    def engine_threads(self) -> int:
        """Threads of the engine."""
        return self.threads or settings.default_threads()

    @property
    def engine_options(self) -> EngineOptions:
        """What the engine needs of this. Raises ConfigError for a device that it cannot compute on."""
        on_cpu = self.device == "cpu"
        usual = "float32" if on_cpu and self.weights == AS_STORED else "bfloat16"
        precision: Precision = "bfloat16" if (self.precision or usual) == "bfloat16" else "float32"
        return EngineOptions(
            device=self.device if on_cpu else str(usable_device(self.device)),
            numerics=self.numerics,
            precision=precision,
            weights=self.weights,
            slots=self.slots,
            kv_cache_mb=self.kv_cache_mb,
            speculation=self.speculation,
        )
