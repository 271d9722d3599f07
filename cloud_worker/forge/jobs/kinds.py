"""The registry: a job kind's literal name, its payload's shape, its stages and its body.

A body is a plain function (payload, bench, progress) -> result; model references in its payload are absolute paths
by then. It may be killed at any moment and is called again with the same folder: what lies there is not done again.
A body is named by module and function, so that this process, which runs none, imports neither torch nor a model.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec

from cloud_worker.forge import import_model
from cloud_worker.forge.jobs.stages import Progress
from edgewise.wire.errors import ConfigError
from edgewise.wire.forge_jobs import PAYLOADS


@dataclass(frozen=True)
class Bench:
    """Where a body works: its job's folder, the same for every attempt, and the device and threads for arithmetic."""

    folder: Path
    device: str = "cpu"
    threads: int = 1


Body = Callable[[Any, Bench, Progress], msgspec.Struct]
_BODIES = "cloud_worker.forge.jobs.bodies"


@dataclass(frozen=True, kw_only=True)
class BodyKind:
    """One kind. `body` is `module:function`. `stages`: name -> share of the time, in order. `models` and `files` are
    the payload's fields that name model directories and files."""

    name: str
    payload: type[msgspec.Struct]
    body: str
    stages: Mapping[str, float]
    models: Sequence[str] = ()
    files: Sequence[str] = field(default=())

    def load(self) -> Body:
        """Import the body. Raises ConfigError when its packages are not installed."""
        module, _, function = self.body.partition(":")
        try:
            return cast(Body, getattr(importlib.import_module(module), function))
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"Jobs of kind {self.name} need the package {error.name}, which is not installed",
                where=f"edgewise forge, {module}",
                expected="an installation with the extra forge",
                remedy="pip install 'edgewise[forge]'",
            ) from error


BODIES: tuple[BodyKind, ...] = (
    BodyKind(
        name="forge.quantize",
        payload=PAYLOADS["forge.quantize"],
        body=f"{_BODIES}.quantize:quantize",
        stages={"graph": 6, "quantize": 6, "assemble": 1},
        models=("model",),
        files=("calibration",),
    ),
    BodyKind(
        name="forge.export",
        payload=PAYLOADS["forge.export"],
        body=f"{_BODIES}.export:export",
        stages={"graph": 8, "assemble": 1},
        models=("model",),
    ),
    BodyKind(
        name="forge.evaluate",
        payload=PAYLOADS["forge.evaluate"],
        body=f"{_BODIES}.evaluate:evaluate",
        stages={"examine": 1},
        models=("model",),
    ),
    BodyKind(
        name="forge.import",
        payload=PAYLOADS["forge.import"],
        body=f"{_BODIES}.importing:import_model",
        stages=import_model.STAGES,
        models=("model",),
        files=("prompts",),
    ),
    BodyKind(
        name="forge.train",
        payload=PAYLOADS["forge.train"],
        body=f"{_BODIES}.train:train",
        stages={"train": 1},
    ),
)


def load_kinds(modules: Sequence[str] = ()) -> dict[str, BodyKind]:
    """Our kinds and those of the modules, by name. Raises ConfigError."""
    found = [*BODIES, *(kind for name in modules for kind in _module(name).BODIES)]
    return {kind.name: kind for kind in found}


def chosen(kinds: Mapping[str, BodyKind], names: Sequence[str]) -> tuple[str, ...]:
    """The names to claim: all, or these. Raises ConfigError for one that is not there."""
    for name in names:
        if name not in kinds:
            raise ConfigError(
                f"There is no job kind {name!r}",
                where="--kinds or EDGEWISE_FORGE_KINDS",
                expected=f"some of: {', '.join(kinds)}",
                remedy="correct the kind, or name its module in EDGEWISE_FORGE_MODULES",
            )
    return tuple(names) or tuple(kinds)


def _module(name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise _bad_module(name, str(error)) from error
    if not hasattr(module, "BODIES"):
        raise _bad_module(name, "it has no BODIES")
    return module


def _bad_module(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"The module {name} cannot be used: {why}",
        where="EDGEWISE_FORGE_MODULES",
        expected="importable modules with BODIES, separated by commas",
        remedy="correct the name, or install the package that holds it",
    )
