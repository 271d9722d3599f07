"""The kinds of jobs by name: those of Edgewise, and those of modules that an operator names.

A module offers `KINDS`, a sequence of JobKind, and `async def open_bodies(resources, stack) -> Mapping[str, Body]`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType

from control_plane.jobs.errors import JobKindUnknownError
from control_plane.jobs.job import JobKind
from edgewise.wire import forge_jobs
from edgewise.wire.errors import ConfigError

FORGE_LEASE_S = 15.0
FORGE_TIME_LIMIT_S = 24 * 3600.0
KINDS = (
    JobKind(name="resume_stream", queue="resume", lease_s=3.0, max_attempts=3, time_limit_s=10.0),
    JobKind(name="seal_and_trim", queue="seal", time_limit_s=120.0),
    JobKind(name="purge_sealed", queue="seal", time_limit_s=300.0),
    JobKind(name="prune_charges", queue="seal", time_limit_s=300.0),
    JobKind(name="warm_caches", queue="warm", max_attempts=2, time_limit_s=120.0),
    JobKind(name="export_decisions", queue="export", time_limit_s=3600.0),
    *(
        JobKind(
            name=name,
            queue="forge",
            lease_s=FORGE_LEASE_S,
            time_limit_s=FORGE_TIME_LIMIT_S,
            for_nodes=True,
            needs=forge_jobs.CAPABILITY,
            payload=payload,
        )
        for name, payload in forge_jobs.PAYLOADS.items()
    ),
)


class Registry:
    """Kinds by name."""

    def __init__(self, kinds: Iterable[JobKind] = KINDS) -> None:
        self._kinds = {kind.name: kind for kind in kinds}

    def get(self, name: str) -> JobKind:
        """Raises JobKindUnknownError."""
        if name not in self._kinds:
            raise JobKindUnknownError(name, tuple(self._kinds))
        return self._kinds[name]

    def names(self, *, for_nodes: bool) -> tuple[str, ...]:
        """The kinds that nodes claim, or those that Celery's children run."""
        return tuple(kind.name for kind in self._kinds.values() if kind.for_nodes == for_nodes)


def load_registry(modules: Sequence[str] = ()) -> Registry:
    """Our kinds, and those of the modules. Raises ConfigError."""
    return Registry([*KINDS, *(kind for name in modules for kind in job_module(name).KINDS)])


def job_module(name: str) -> ModuleType:
    """A module with kinds of jobs. Raises ConfigError when it cannot be imported or offers none."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise _bad_module(name, str(error)) from error
    if not hasattr(module, "KINDS") or not hasattr(module, "open_bodies"):
        raise _bad_module(name, "it has no KINDS or no open_bodies")
    return module


def _bad_module(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"The job module {name} cannot be used: {why}",
        where="EDGEWISE_JOB_MODULES",
        expected="importable modules, separated by commas",
        remedy="correct the name, or install the package that holds it",
    )
