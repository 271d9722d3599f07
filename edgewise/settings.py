"""How every process reads its settings: explicit arguments first, then environment variables, one table for each.

What the settings are is in each process's config.py; this file knows how to parse, check and refuse them, and keys.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from edgewise.wire.errors import ConfigError, DataDirError
from edgewise.wire.limits import NODE_ID_MAX_CHARS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)

_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_FEW_CORES = 2


@dataclass(frozen=True)
class Setting:
    """One setting of a process.

    expected: what a right value is, in words. parse: makes the value of a text; raises ValueError. fits: whether a
    value that is not None will do. flag: its option of the `edgewise` command; empty where only the variable sets it.
    shown: whether an error may repeat the text; where not, the parser's own words stand in its place.
    """

    expected: str = "text"
    parse: Callable[[str], Any] = str
    fits: Callable[[Any], bool] = lambda value: True
    flag: str = ""
    shown: bool = True


@dataclass(frozen=True)
class SettingsTable:
    """All settings of one process, by the names of its config's fields; a variable is `prefix` and the upper-cased
    name."""

    prefix: str
    settings: Mapping[str, Setting]

    def load(self, cls: type[Config], environ: Mapping[str, str] | None, explicit: Mapping[str, Any]) -> Config:
        """`cls` from arguments that are not None, then from variables that are not empty; text is parsed.

        Raises ConfigError for text that does not parse and for a missing setting that has no default.
        """
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in explicit.items() if value is not None}
        for name in self.settings:
            if name not in given and (text := environ.get(self.variable(name))):
                given[name] = text
        self._require_all(cls, given)
        return cls(**{name: self._parsed(name, value) for name, value in given.items()})

    def check(self, config: object) -> None:
        """Raises ConfigError for the first value that does not fit."""
        for name, setting in self.settings.items():
            value = getattr(config, name)
            if value is not None and not setting.fits(value):
                raise self._bad(name, value)

    def variable(self, name: str) -> str:
        """The environment variable of a setting."""
        return self.prefix + name.upper()

    def node_key(self, key: str, key_file: Path | None) -> str:
        """The node key of a role that cannot be without: `key`, or the one in `key_file`. Raises ConfigError."""
        found = read_keys(key_file, "node")["node"] if key_file else key
        if not found:
            raise ConfigError(
                "There is no node key",
                where=f"{self.ways('key_file')}, or {self.ways('key')}",
                expected=self.settings["key"].expected,
                remedy="pass --key-file",
            )
        return found

    def ways(self, name: str) -> str:
        """How a setting is given: by its flag, where it has one, or its variable."""
        flag = self.settings[name].flag
        return f"{flag} or {self.variable(name)}" if flag else self.variable(name)

    def _parsed(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.settings[name].parse(value)
        except ValueError as error:
            raise self._bad(name, value, str(error)) from error

    def _require_all(self, cls: type[Config], given: Mapping[str, Any]) -> None:
        for field in fields(cls):
            if field.name not in given and field.default is MISSING and field.default_factory is MISSING:
                raise ConfigError(
                    f"The setting {field.name} is missing",
                    where=self.ways(field.name),
                    expected=self.settings[field.name].expected,
                    remedy=f"give {self.ways(field.name)}",
                )

    def _bad(self, name: str, value: Any, why: str = "it does not fit") -> ConfigError:
        setting = self.settings[name]
        return ConfigError(
            f"The setting {name} cannot be {str(value)!r}" if setting.shown else f"The setting {name} is wrong: {why}",
            where=self.ways(name),
            expected=setting.expected,
            remedy=f"correct {self.ways(name)}",
        )


# Settings that several processes have ---------------------------------------------------------------------------------


def directory(flag: str = "") -> Setting:
    """A directory of the process's own."""
    return Setting("a directory", Path, flag=flag)


def file(flag: str = "", expected: str = "a file") -> Setting:
    """A file to read."""
    return Setting(expected, Path, flag=flag)


def model_directory(flag: str = "--model") -> Setting:
    """The model that a node runs."""
    return Setting("a directory with manifest.json, such as `make reference-models` makes", Path, flag=flag)


def port(flag: str = "") -> Setting:
    """A TCP port to listen on; 0 takes a free one."""
    return Setting("0 to 65535", int, lambda value: 0 <= value <= 65535, flag)


def count(flag: str = "") -> Setting:
    """A number of things."""
    return Setting("a whole number above 0", int, _is_above_zero, flag)


def seconds(flag: str = "") -> Setting:
    """A length of time."""
    return Setting("seconds above 0", float, _is_above_zero, flag)


def tokens_per_s(flag: str = "") -> Setting:
    """A speed of answers."""
    return Setting("tokens per second, above 0", float, _is_above_zero, flag)


def node_name(flag: str = "--name") -> Setting:
    """A node's name in its fleet."""
    return Setting(f"up to {NODE_ID_MAX_CHARS} letters, digits, '.', '_' or '-'", fits=_is_node_name, flag=flag)


def control_plane_url(flag: str = "--url", *, optional: bool = False) -> Setting:
    """Where a node dials in."""
    expected = "the address of a control plane, such as http://127.0.0.1:8080"
    return Setting(expected, fits=lambda url: (optional and not url) or is_address(url), flag=flag)


def is_address(url: str, schemes: frozenset[str] = frozenset({"http", "https", "ws", "wss"})) -> bool:
    """Whether a URL has one of these schemes."""
    return urlsplit(url).scheme in schemes


def _is_above_zero(value: float) -> bool:
    return 0 < value < math.inf


def _is_node_name(name: str) -> bool:
    return len(name) <= NODE_ID_MAX_CHARS and _NODE_NAME.match(name) is not None


def parse_switch(text: str) -> bool:
    """`1`, `true` or `yes`, and their opposites. Raises ValueError."""
    word = text.strip().lower()
    if word not in {"1", "true", "yes", "0", "false", "no"}:
        raise ValueError(text)
    return word in {"1", "true", "yes"}


def parse_pairs(text: str) -> dict[str, str]:
    """`name=value` pairs, separated by commas. Raises ValueError."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and sign for name, sign, _ in pairs):
        raise ValueError(text)
    return {name.strip(): value.strip() for name, _, value in pairs}


def default_threads(most: float = math.inf) -> int:
    """One on small machines: beside other work, one thread was measured to be faster than two; else half the cores."""
    cores = os.cpu_count() or 1
    return 1 if cores <= _FEW_CORES else int(min(most, cores // 2))


# Files ----------------------------------------------------------------------------------------------------------------


def read_keys(path: Path, role: Literal["node", "app"]) -> dict[str, str]:
    """The keys in a file, by role: all of keys.json, or the one key of a file with nothing else in it, for `role`.

    Raises ConfigError when the file cannot be read or holds no key for `role`.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
        keys = json.loads(text) if text.startswith("{") else {role: text}
    except (OSError, ValueError) as error:
        raise _bad_key_file(path, role, error.strerror if isinstance(error, OSError) else "it is damaged") from error
    if not _is_key(keys.get(role)):
        raise _bad_key_file(path, role, f"it holds no key with the role {role}")
    return {name: key for name, key in keys.items() if _is_key(key)}


def _is_key(value: object) -> bool:
    return isinstance(value, str) and value.startswith("ek_") and len(value.split()) == 1


def _bad_key_file(path: Path, role: str, why: str | None) -> ConfigError:
    return ConfigError(
        f"The key file cannot be used: {why}",
        where=str(path),
        expected=f"keys.json, or a file with one ek_… key that has the role {role}",
        remedy="start the control plane first, which writes keys.json, or make a key with `edgewise keys create`",
    )


def make_data_dir(path: Path) -> None:
    """Make a process's data directory, and what is above it. Raises DataDirError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataDirError(
            f"The data directory cannot be made: {error.strerror}",
            where=str(path),
            expected="a writable directory",
            remedy="choose another one with --data-dir, or mend its permissions",
        ) from error
