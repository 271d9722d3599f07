"""What an extra of pyproject.toml brings, from installed metadata, and an import hook that refuses everything else."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = "edgewise"
MAINS = {"edge": "edge_agent.main", "control": "control_plane.main", "worker": "cloud_worker.main"}

_HOOK = """
import importlib.machinery, json, sys
refused = set(json.loads(sys.argv[1]))
class RefusedError(ModuleNotFoundError): pass
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise RefusedError(f"{name} is not in this extra", name=name)
sys.meta_path.insert(0, Refuse())
__import__(sys.argv[2])
print(json.dumps(sorted(m for m in sys.modules if m.partition(".")[0] in refused)))
"""


def declared(extra: str) -> list[Requirement]:
    """The project's own requirements with one extra, as pyproject.toml has them now."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(line) for line in [*project["dependencies"], *project["optional-dependencies"][extra]]]


def closure(requirements: Iterable[Requirement]) -> set[str]:
    """Canonical names of every distribution that these bring, as far as they are installed."""
    found: set[str] = set()
    waiting = [(wanted, "") for wanted in requirements]
    while waiting:
        wanted, extra = waiting.pop()
        name = canonicalize_name(wanted.name)
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        known = name in found
        found.add(name)
        if known and not wanted.extras:
            continue
        waiting += [(child, asked) for asked in wanted.extras or [""] for child in _requires(name)]
    return found


def _requires(name: str) -> list[Requirement]:
    try:
        return [Requirement(line) for line in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        return []


def refused_modules(extra: str) -> set[str]:
    """Top-level modules that are installed here but would not be with this extra alone."""
    allowed = closure(declared(extra)) | {PROJECT}
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if not any(canonicalize_name(owner) in allowed for owner in owners)
    }


def import_alone(extra: str) -> subprocess.CompletedProcess[str]:
    """Import the extra's main in a fresh interpreter in which only its own packages exist."""
    command = [sys.executable, "-c", _HOOK, json.dumps(sorted(refused_modules(extra))), MAINS[extra]]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
