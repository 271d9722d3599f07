"""ForgeConfig: every setting of `edgewise forge`, from explicit arguments first, then EDGEWISE_FORGE_* variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewise import settings
from edgewise.settings import Setting, SettingsTable
from edgewise.wire.forge_jobs import PAYLOADS


def _parse_kinds(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _parse_roots(text: str) -> tuple[Path, ...]:
    return tuple(map(Path, _parse_kinds(text)))


SETTINGS = SettingsTable(
    "EDGEWISE_FORGE_",
    {
        "url": settings.control_plane_url(),
        "name": settings.node_name(),
        "key": Setting("an ek_… key with the role node", shown=False),
        "key_file": settings.file("--key-file", "keys.json, or a file with one node key"),
        "data_dir": settings.directory("--data-dir"),
        "roots": Setting("directories, separated by commas", _parse_roots, lambda roots: len(roots) > 0, flag="--root"),
        "kinds": Setting(f"some of {', '.join(PAYLOADS)}, separated by commas", _parse_kinds, flag="--kinds"),
        "modules": Setting("importable modules with BODIES, separated by commas", _parse_kinds),
        "device": Setting(
            "cpu, cuda or cuda:<n>", fits=lambda name: bool(re.fullmatch(r"cpu|cuda(:\d+)?", name)), flag="--device"
        ),
        "threads": settings.count("--threads"),
        "nice": Setting("0 to 19", int, lambda value: 0 <= value <= 19),
        "poll_s": settings.seconds(),
        "drain_s": settings.seconds(),
    },
)


@dataclass(frozen=True, kw_only=True)
class ForgeConfig:
    """Settings of one forge process. Every instance is checked, so it is usable as it stands.

    url: the control plane. key_file stands over key, and is keys.json or one node key. roots: payloads may name models
    and files below them, and below the data directory. kinds: those to claim; empty claims all that it can do.
    modules: their BODIES are kinds of your own. nice: how much the bodies yield to serving processes. poll_s: between
    two questions for work. drain_s: how long SIGTERM waits for a control plane that is away.
    """

    url: str
    name: str = "forge-0"
    key: str = field(default="", repr=False)
    key_file: Path | None = None
    data_dir: Path = Path(".edgewise/forge")
    roots: tuple[Path, ...] = (Path("reference_models"),)
    kinds: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int | None = None
    nice: int = 10
    poll_s: float = 2.0
    drain_s: float = 5.0

    def __post_init__(self) -> None:
        SETTINGS.check(self)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> ForgeConfig:
        """Settings from arguments that are not None, then from the variables. Raises ConfigError."""
        return SETTINGS.load(cls, environ, explicit)

    @property
    def node_key(self) -> str:
        """The key of its calls. Raises ConfigError when there is none or its file cannot be used."""
        return SETTINGS.node_key(self.key, self.key_file)

    @property
    def body_threads(self) -> int:
        """Threads of a body's arithmetic."""
        return self.threads or settings.default_threads()
