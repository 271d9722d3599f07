"""ControlConfig: every setting of the control plane, from explicit arguments first, then EDGEWISE_* variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from control_plane.database import sqlite_url
from edgewise.wire.errors import ConfigError
from edgewise.wire.limits import LEASE_S

DATABASE_FILE = "edgewise.sqlite3"


class UpstreamConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenAI-compatible engine used as a cloud tier. The key itself stays in the variable `api_key_env`;
    `continues` says that it takes an open assistant turn."""

    name: str
    base_url: str
    model: str
    api_key_env: str = ""
    continues: bool = False


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """Settings; units are in the names. `load` checks them, so an instance is usable as it stands.

    models: public name → model directory. database_url and log_url: empty means the SQLite file in the data dir and
    the embedded Valkey that the launcher passes. lease_s: how long a silent runner keeps its stream. stream_ttl_s: how
    long a finished stream stays in the token log before it is sealed to SQL.
    """

    data_dir: Path = Path(".edgewise")
    host: str = "127.0.0.1"
    port: int = 8080
    database_url: str = field(default="", repr=False)
    log_url: str = field(default="", repr=False)
    public_base_url: str = ""
    models: dict[str, Path] = field(default_factory=dict)
    upstreams: tuple[UpstreamConfig, ...] = ()
    allow_unregistered_models: bool = False
    lease_s: float = LEASE_S
    stream_ttl_s: float = 3600.0
    decision_queue_max: int = 10_000

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise _bad("port", str(self.port), "0 to 65535")
        for name in ("lease_s", "stream_ttl_s", "decision_queue_max"):
            if not 0 < getattr(self, name) < float("inf"):
                raise _bad(name, str(getattr(self, name)), "a number above 0")
        for upstream in self.upstreams:
            if urlsplit(upstream.base_url).scheme not in {"http", "https"}:
                raise _bad("upstreams", upstream.base_url, "a base_url such as http://host:8000/v1")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> ControlConfig:
        """Settings from `EDGEWISE_<NAME>` variables, overridden by arguments that are not None. Raises ConfigError."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for setting in fields(cls):
            text = environ.get(_variable(setting.name), "")
            if explicit.get(setting.name) is not None:
                values[setting.name] = explicit[setting.name]
            elif text:
                values[setting.name] = _parse(setting.name, text)
        return cls(**values)

    @property
    def sql_url(self) -> str:
        """The configured database, or the SQLite file in the data dir."""
        return self.database_url or sqlite_url(self.data_dir / DATABASE_FILE)

    @property
    def base_url(self) -> str:
        """Where clients reach this control plane."""
        if self.public_base_url:
            return self.public_base_url.rstrip("/")
        host = "127.0.0.1" if self.host in {"", "0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def _models(text: str) -> dict[str, Path]:
    """`name=directory` pairs, separated by commas."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and directory.strip() for name, _, directory in pairs):
        raise ValueError(text)
    return {name.strip(): Path(directory.strip()) for name, _, directory in pairs}


def _switch(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.strip().lower()]


def _upstreams(text: str) -> tuple[UpstreamConfig, ...]:
    return msgspec.json.decode(text, type=tuple[UpstreamConfig, ...])


_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "data_dir": (Path, "a directory"),
    "port": (int, "0 to 65535"),
    "models": (_models, "name=directory pairs, separated by commas"),
    "upstreams": (_upstreams, 'JSON such as [{"name": "vllm", "base_url": "http://host:8000/v1", "model": "m"}]'),
    "allow_unregistered_models": (_switch, "1 or 0"),
    "lease_s": (float, "seconds above 0"),
    "stream_ttl_s": (float, "seconds above 0"),
    "decision_queue_max": (int, "a whole number above 0"),
}


def _parse(name: str, text: str) -> Any:
    parse, expected = _PARSERS.get(name, (str, "text"))
    try:
        return parse(text)
    except (ValueError, KeyError, msgspec.DecodeError) as error:
        raise _bad(name, text if name != "upstreams" else "the JSON", expected) from error


def _variable(name: str) -> str:
    return f"EDGEWISE_{name.upper()}"


def _bad(name: str, found: str, expected: str) -> ConfigError:
    return ConfigError(
        f"The setting {name} cannot be {found!r}",
        where=_variable(name),
        expected=expected,
        remedy=f"correct {_variable(name)} or the matching command-line option",
    )
