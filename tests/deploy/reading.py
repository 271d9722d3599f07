"""How the files of deploy/ are read, and what they are held against: the real command line and the settings' tables."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import cloud_worker.config
import control_plane.config
import control_plane.jobs.config
import edge_agent.config
import edgewise.observability.config
from edgewise.cli.main import app
from edgewise.settings import SettingsTable
from edgewise.wire.errors import ConfigError

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
EVERYWHERE = edgewise.observability.config.SETTINGS
TABLES = {
    "control": control_plane.config.SETTINGS,
    "jobs": control_plane.jobs.config.SETTINGS,
    "worker": cloud_worker.config.SETTINGS,
    "agent": edge_agent.config.SETTINGS,
}
IMAGES = {"control": "control", "jobs": "jobs", "worker": "worker", "edge": "agent"}
"""Image → the role that it runs."""


def tool(name: str) -> str:
    """A command on the PATH; the test is skipped without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on the PATH")
    return found


def run(*command: str | Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command that may fail, with what it printed."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environ)


def load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def load_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def parse_command(words: Sequence[str]) -> str:
    """The role that the words behind `edgewise` start. Raises click's errors for what the command line refuses."""
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], list(words[1:]))
    return words[0]


def faulty_settings(role: str, settings: Mapping[str, object]) -> list[str]:
    """EDGEWISE_* variables that the role's process does not know, or whose value it would refuse."""
    ours = {name: str(value) for name, value in settings.items() if name.startswith("EDGEWISE_")}
    return [name for name, value in ours.items() if not any(_takes(table, name, value) for table in _tables(role))]


def _tables(role: str) -> Iterable[SettingsTable]:
    return (TABLES[role], EVERYWHERE)


def _takes(table: SettingsTable, variable: str, value: str) -> bool:
    for name, setting in table.settings.items():
        if table.variable(name) != variable:
            continue
        try:
            return bool(setting.fits(setting.parse(value)))
        except (ValueError, ConfigError):
            return False
    return False


# Dockerfiles ----------------------------------------------------------------------------------------------------------


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, its arguments) of a Dockerfile, in order; continued lines joined, comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    pairs = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest.strip()) for word, _, rest in pairs]


def arguments(found: Iterable[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for word, rest in found if word == instruction]


def final_stage(found: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    last = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return list(found[last:])


def environment(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    pairs = (word.partition("=") for rest in arguments(found, "ENV") for word in shlex.split(rest))
    return {name: value for name, _, value in pairs}


# systemd --------------------------------------------------------------------------------------------------------------


def unit_settings(path: Path) -> dict[str, dict[str, list[str]]]:
    """Section → key → values of a unit file."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, sign, value = line.partition("=")
            assert sign, f"{path.name}: {line!r} is no setting"
            found[section][key].append(value)
    return found


def env_file(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#"))
    return {name: value for name, _, value in pairs}


def seconds(text: str) -> float:
    """`45`, `45s` or `2m`."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    return float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)


# Rules, dashboards ----------------------------------------------------------------------------------------------------


def walk(value: Any, key: str) -> Iterator[Any]:
    """Every value under this key, however deep."""
    if isinstance(value, dict):
        for name, child in value.items():
            if name == key:
                yield child
            yield from walk(child, key)
    elif isinstance(value, list):
        for child in value:
            yield from walk(child, key)
