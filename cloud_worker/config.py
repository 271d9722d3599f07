"""WorkerConfig: every setting of a cloud worker, from explicit arguments first, then EDGEWISE_WORKER_* variables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cloud_worker.engine.numerics import EngineOptions, Precision
from edgewise.wire.errors import ConfigError
from edgewise.wire.limits import NODE_ID_MAX_CHARS

VARIABLE_PREFIX = "EDGEWISE_WORKER_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_FEW_CORES = 2
_ABOVE_ZERO = ("threads", "slots", "max_queue", "throttle_tokens_per_s", "sample_interval_s")
_NEEDED = {
    "url": ("the address of the control plane", "http://127.0.0.1:8080"),
    "model_dir": ("a directory with manifest.json", "what `make reference-models` makes"),
}


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Settings; units are in the names. `load` checks them, so an instance is usable as it stands.

    url: the control plane (`http://host:8080` or `ws://…`). key, key_file: the node key, given or in a file.
    device: cpu, cuda or cuda:<n>. precision: float32 or bfloat16; empty chooses float32 on cpu, bfloat16 elsewhere.
    threads: None chooses 1 on up to two cores, else half of them. throttle_tokens_per_s: per answer; None is no limit.
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
    throttle_tokens_per_s: float | None = None
    sample_interval_s: float = 10.0

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or len(self.name) > NODE_ID_MAX_CHARS:
            raise _bad("name", self.name, f"up to {NODE_ID_MAX_CHARS} letters, digits, '.', '_' or '-'")
        if urlsplit(self.url).scheme not in {"http", "https", "ws", "wss"}:
            raise _bad("url", self.url, "an address such as http://127.0.0.1:8080")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise _bad("device", self.device, "cpu, cuda or cuda:<n>")
        if self.precision not in {"", "float32", "bfloat16"}:
            raise _bad("precision", self.precision, "float32 or bfloat16")
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise _bad(name, str(value), "a number above 0")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> WorkerConfig:
        """Settings from `EDGEWISE_WORKER_<NAME>` variables, overridden by arguments that are not None.

        Raises ConfigError.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for setting in fields(cls):
            if explicit.get(setting.name) is not None:
                values[setting.name] = explicit[setting.name]
            elif text := environ.get(variable(setting.name), ""):
                values[setting.name] = parse_setting(setting.name, text)
        for name, (expected, example) in _NEEDED.items():
            if name not in values:
                remedy = f"pass --{name.replace('_', '-')} or set {variable(name)}, for example {example}"
                raise ConfigError(f"The setting {name} is missing", where=name, expected=expected, remedy=remedy)
        return cls(**values)

    @property
    def node_key(self) -> str:
        """The key of the session. Raises ConfigError when there is none or its file cannot be read."""
        key = self.key or _read_key(self.key_file)
        if not key:
            raise ConfigError(
                "There is no node key",
                where="key_file",
                expected="an ek_… key with the role node",
                remedy="pass --key-file",
            )
        return key

    @property
    def engine_threads(self) -> int:
        """One on small machines: beside other work, one thread was measured to be faster than two."""
        cores = os.cpu_count() or 1
        return self.threads or (1 if cores <= _FEW_CORES else cores // 2)

    @property
    def engine_options(self) -> EngineOptions:
        """What the engine needs of this."""
        precision: Precision = "float32" if self.device == "cpu" else "bfloat16"
        if self.precision in ("float32", "bfloat16"):
            precision = "bfloat16" if self.precision == "bfloat16" else "float32"
        return EngineOptions(device=self.device, precision=precision, slots=self.slots, max_queue=self.max_queue)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return VARIABLE_PREFIX + name.upper()


_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "model_dir": (Path, "a directory"),
    "data_dir": (Path, "a directory"),
    "key_file": (Path, "a file"),
    "threads": (int, "a whole number above 0"),
    "slots": (int, "a whole number above 0"),
    "max_queue": (int, "a whole number above 0"),
    "throttle_tokens_per_s": (float, "tokens per second, above 0"),
    "sample_interval_s": (float, "seconds above 0"),
}


def parse_setting(name: str, text: str) -> Any:
    """A setting from its text. Raises ConfigError naming the setting and what was expected."""
    parse, expected = _PARSERS.get(name, (str, "text"))
    try:
        return parse(text)
    except ValueError:
        raise _bad(name, text, expected) from None


def _read_key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The key file cannot be read: {error}", where=f"key_file {path}", expected="a file with one key in it"
        ) from error


def _bad(name: str, found: str, expected: str) -> ConfigError:
    return ConfigError(
        f"The setting {name} has the value {found!r}",
        where=name,
        expected=expected,
        remedy=f"correct the flag --{name.replace('_', '-')} or the variable {variable(name)}",
    )
