"""WorkerConfig: every setting of a cloud worker, from explicit arguments first, then EDGEWISE_WORKER_* variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud_worker.engine.numerics import EngineOptions, Precision
from edgewise import settings
from edgewise.settings import Setting, SettingsTable

SETTINGS = SettingsTable(
    "EDGEWISE_WORKER_",
    {
        "url": settings.control_plane_url(),
        "model_dir": settings.model_directory(),
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
        "threads": settings.count("--threads"),
        "slots": settings.count("--slots"),
        "max_queue": settings.count(),
        "prefix_cache_mb": Setting("MiB, 0 or more", int, lambda mib: mib >= 0),
        "throttle_tokens_per_s": settings.tokens_per_s("--throttle"),
        "sample_interval_s": settings.seconds(),
    },
)


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Settings; units are in the names. Every instance is checked, so it is usable as it stands.

    url: the control plane (`http://host:8080` or `ws://…`). key_file stands over key, and is keys.json or one node key.
    device: cpu, cuda or cuda:<n>. precision: float32 or bfloat16; empty chooses float32 on cpu, bfloat16 elsewhere.
    threads: None chooses 1 on up to two cores, else half of them. throttle_tokens_per_s: per answer; None is no limit.
    prefix_cache_mb: MiB of prompt beginnings that are kept for prompts to come; 0 keeps none.
    """

    url: str
    model_dir: Path
    name: str = "worker-0"
    key: str = field(default="", repr=False)
    key_file: Path | None = None
    data_dir: Path = Path(".edgewise/worker")
    device: str = "cpu"
    precision: str = ""
    threads: int | None = None
    slots: int = 8
    max_queue: int = 64
    prefix_cache_mb: int = 64
    throttle_tokens_per_s: float | None = None
    sample_interval_s: float = 10.0

    def __post_init__(self) -> None:
        SETTINGS.check(self)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> WorkerConfig:
        """Settings from arguments that are not None, then from the variables. Raises ConfigError."""
        return SETTINGS.load(cls, environ, explicit)

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
        """What the engine needs of this."""
        precision: Precision = "float32" if self.device == "cpu" else "bfloat16"
        if self.precision in ("float32", "bfloat16"):
            precision = "bfloat16" if self.precision == "bfloat16" else "float32"
        return EngineOptions(
            device=self.device,
            precision=precision,
            slots=self.slots,
            max_queue=self.max_queue,
            prefix_cache_mb=self.prefix_cache_mb,
        )
