"""The device's tier under adapters: the model names that they give, and which tier answers a request for one.

Which adapters are loaded, and what a state runs under, is runtime/adapters.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from edge_agent.runtime.adapters import NAME_MARK, VERSION_MARK
from edge_agent.serving import Models
from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Capabilities, Chunk, Load, Tier, TierKind

Versions = Callable[[], Mapping[str, str] | None]
"""The model version of each adapter, by its name, of the model that is served now; None while none is loaded."""


class AdaptedModels:
    """`MODEL:ADAPTER` for every adapter of the model that `edge` serves; plain names mean `default`, or the bare model.

    `versions` is asked for each request; while no model is loaded, the last ones stand.
    """

    def __init__(self, edge: Tier, model: Callable[[], str], versions: Versions, default: str = "") -> None:
        self._edge = edge
        self._model = model
        self._ask_versions = versions
        self._last: Mapping[str, str] = versions() or {}
        self._default = default

    def _versions(self) -> Mapping[str, str]:
        found = self._ask_versions()
        self._last = self._last if found is None else found
        return self._last

    def names(self) -> list[str]:
        """The model names that an adapter answers to."""
        return [f"{self._model()}{NAME_MARK}{name}" for name in self._versions()]

    def names_one(self, model: str) -> bool:
        """Whether a request for this name is for an adapter: it is answered here or not at all."""
        return model.startswith(f"{self._model()}{NAME_MARK}")

    def tier(self, model: str) -> Tier:
        """Who answers a request for this name, for one try."""
        name = model.partition(f"{self._model()}{NAME_MARK}")[2] if self.names_one(model) else self._default
        return AdaptedTier(self._edge, self._model(), self._versions(), name)


class AdaptedTier:
    """A tier for one try, under the adapter `name`, or the bare model where nothing has that name.

    Until `generate` is called, capabilities tell what a new answer gets, from then on what this one really runs under:
    the log's tier entry and who takes the answer up again go by it, whatever the names mean by then.
    """

    kind: TierKind = "edge"

    def __init__(self, inner: Tier, model: str, versions: Mapping[str, str], name: str) -> None:
        self._inner = inner
        self._model = model
        self._names = {version: known for known, version in versions.items() if known != name}
        self._version = versions.get(name, "")
        if self._version:
            self._names[self._version] = name

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def capabilities(self) -> Capabilities:
        inner = self._inner.capabilities
        if not self._version:
            return inner
        named = [f"{self._model}{NAME_MARK}{self._names[self._version]}"] if self._version in self._names else []
        return msgspec.structs.replace(inner, models=(*named, *inner.models), model_version=self._version)

    def load(self) -> Load:
        return self._inner.load()

    def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """As the tier below; an answer that this model has begun goes on under what it was begun with."""
        bare = self._inner.capabilities.model_version
        if state.output_ids and _base(state.model_version) == bare:
            self._version = "" if state.model_version == bare else state.model_version
        state = msgspec.structs.replace(state, model_version=self._version or bare)
        return self._inner.generate(state, attempt)

    async def cancel(self, attempt: str) -> None:
        await self._inner.cancel(attempt)


async def reread_adapters(models: Models, files: Mapping[str, Path]) -> None:
    """Serve what the files hold by now, from the engine's next step on. A model that is opened later reads them anyway.

    A file that cannot be used is logged, and what had its name keeps it.
    """
    if (model := models.current) is None:
        return
    engine, driver = model.engine, model.driver
    for name, adapter in (await asyncio.to_thread(engine.adapters.changed, files)).items():
        driver.run(partial(engine.put_adapter, name, adapter))


def _base(version: str) -> str:
    return version.partition(VERSION_MARK)[0]
