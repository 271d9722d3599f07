"""AgentConfig: every setting of the edge agent, from explicit arguments first, then EDGEWISE_AGENT_* variables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgewise.wire.errors import ConfigError
from edgewise.wire.limits import LEASE_S, NODE_ID_MAX_CHARS

VARIABLE_PREFIX = "EDGEWISE_AGENT_"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_FEW_CORES = 2
_ABOVE_ZERO = (
    "threads",
    "slots",
    "max_queue",
    "throttle_tokens_per_s",
    "sample_interval_s",
    "stream_ttl_s",
    "lease_s",
)


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Settings; units are in the names. `load` checks them, so an instance is usable as it stands.

    url: the control plane (`http://host:8080` or `ws://…`); empty runs the device by itself for good.
    key, key_file: the node key for the session. app_key, app_key_file: an app key, with which answers may be asked of
    the cloud. local_key: what apps on this device must show; empty lets every local app in.
    device_facts: a JSON file of facts that stand over the sensors. threads: None chooses by the cores there are.
    throttle_tokens_per_s: the fastest that an answer may be written, per answer; None is no limit.
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
    throttle_tokens_per_s: float | None = None
    sample_interval_s: float = 10.0
    stream_ttl_s: float = 3600.0
    lease_s: float = LEASE_S
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or len(self.name) > NODE_ID_MAX_CHARS:
            raise _bad("name", self.name, f"up to {NODE_ID_MAX_CHARS} letters, digits, '.', '_' or '-'")
        if self.local_host not in LOOPBACK_HOSTS:
            raise _bad("local_host", self.local_host, f"one of {', '.join(LOOPBACK_HOSTS)}")
        if not 0 <= self.local_port <= 65535:
            raise _bad("local_port", str(self.local_port), "0 to 65535")
        if self.url and urlsplit(self.url).scheme not in {"http", "https", "ws", "wss"}:
            raise _bad("url", self.url, "an address such as http://127.0.0.1:8080")
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise _bad(name, str(value), "a number above 0")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> AgentConfig:
        """Settings from `EDGEWISE_AGENT_<NAME>` variables, overridden by arguments that are not None.

        Raises ConfigError.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for setting in fields(cls):
            text = environ.get(variable(setting.name), "")
            if explicit.get(setting.name) is not None:
                values[setting.name] = explicit[setting.name]
            elif text:
                values[setting.name] = parse_setting(setting.name, text)
        if "model_dir" not in values:
            raise ConfigError(
                "No model directory is set",
                where="model_dir",
                expected="a directory with manifest.json",
                remedy=f"pass --model-dir or set {variable('model_dir')}; `make reference-models` makes one",
            )
        return cls(**values)

    @property
    def node_key(self) -> str:
        """The key of the session. Raises ConfigError when its file cannot be read."""
        return self.key or _read_key("key_file", self.key_file)

    @property
    def cloud_key(self) -> str:
        """The key for answers from the cloud; empty when there is none. Raises ConfigError as above."""
        return self.app_key or _read_key("app_key_file", self.app_key_file)

    @property
    def engine_threads(self) -> int:
        """One on small machines: beside other work, one thread was measured to be faster than two."""
        cores = os.cpu_count() or 1
        return self.threads or (1 if cores <= _FEW_CORES else min(4, cores // 2))


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return VARIABLE_PREFIX + name.upper()


def _labels(text: str) -> dict[str, str]:
    """`name=value` pairs, separated by commas."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and sign for name, sign, _ in pairs):
        raise ValueError(text)
    return {name.strip(): value.strip() for name, _, value in pairs}


_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "model_dir": (Path, "a directory"),
    "data_dir": (Path, "a directory"),
    "key_file": (Path, "a file"),
    "app_key_file": (Path, "a file"),
    "device_facts": (Path, "a JSON file"),
    "local_port": (int, "0 to 65535"),
    "threads": (int, "a whole number above 0"),
    "slots": (int, "a whole number above 0"),
    "max_queue": (int, "a whole number above 0"),
    "throttle_tokens_per_s": (float, "tokens per second, above 0"),
    "sample_interval_s": (float, "seconds above 0"),
    "stream_ttl_s": (float, "seconds above 0"),
    "lease_s": (float, "seconds above 0"),
    "labels": (_labels, "name=value pairs, separated by commas"),
}


def parse_setting(name: str, text: str) -> Any:
    """A setting from its text. Raises ConfigError naming the setting and what was expected."""
    parse, expected = _PARSERS.get(name, (str, "text"))
    try:
        return parse(text)
    except ValueError:
        raise _bad(name, text, expected) from None


def _read_key(setting: str, path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The key file cannot be read: {error}", where=f"{setting} {path}", expected="a file with one key in it"
        ) from error


def _bad(name: str, found: str, expected: str) -> ConfigError:
    return ConfigError(
        f"The setting {name} has the value {found!r}",
        where=name,
        expected=expected,
        remedy=f"correct the flag --{name.replace('_', '-')} or the variable {variable(name)}",
    )
