"""ServedModel: the device as one tier, whatever model is in memory right now, within what the ladder allows."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import msgspec

from edge_agent.ladder.limits import Accept, Limits, Place
from edge_agent.ladder.watch import Needs
from edge_agent.serving.leaving import Leaving
from edge_agent.serving.models import Models
from edge_agent.serving.opened import Opened
from edge_agent.serving.placing import place, refused
from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind
from edgewise.wire.errors import EdgewiseError, TierLeavingError


class ServedModel:
    """A Tier for apps on this device: it takes every answer but where the ladder takes none.

    Its answers do not leave in the middle: the cloud of apps cannot go on with them. `every_row` says that its engines
    keep a row for every token. `clock` is the ladder's.
    """

    kind: TierKind = "edge"

    def __init__(
        self,
        models: Models,
        *,
        name: str,
        every_row: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.models = models
        self.every_row = every_row
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """Of the current model, or of the last one while none is loaded."""
        return self.models.capabilities

    @property
    def limits(self) -> Limits:
        return self.models.limits

    @property
    def healthy(self) -> bool:
        """Whether answers are made here, or would be but for the ladder."""
        current = self.models.current
        return self.models.trouble is None and (current is None or current.driver.healthy)

    def load(self) -> Load:
        """What runs now; answers on a model that is being replaced count, too."""
        loads = [model.driver.load() for model in self.models.alive]
        if not loads:
            return Load()
        newest = loads[-1]
        running, queued = sum(load.running for load in loads), sum(load.queued for load in loads)
        return msgspec.structs.replace(newest, running=running, queued=queued)

    def needs(self) -> Needs:
        """What the ladder asks of the runtime's memory."""
        promised = sum(model.driver.stats.promised_bytes for model in self.models.alive)
        return Needs(growth_bytes=promised, freed_bytes=self.models.freed_bytes)

    def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """As `EngineDriver.generate`. Raises TierRefusedError as well where the ladder takes no new answer or no model
        is loaded."""
        return self.answer(state, attempt, may_leave=False)

    async def cancel(self, attempt: str) -> None:
        """End an attempt now; unknown ones are ignored."""
        for model in self.models.alive:
            await model.driver.cancel(attempt)

    async def answer(self, state: GenerationState, attempt: str, *, may_leave: bool) -> AsyncIterator[Chunk]:
        """One attempt; raises TierLeavingError behind a sentence of one that is handed over. An answer that had begun
        before is no new one, and does not leave: it has been elsewhere."""
        begun = bool(state.output_ids or state.output_text)
        model = await self._model(begun)
        if begun:
            self.models.rest.back(state.prompt_ids)
        else:
            state = _bounded(state, self.limits.max_output_tokens)
        leaving = Leaving()
        with model.in_use():
            # A driver's iterator is a generator: leaving it early must end the engine's work at once.
            async with aclosing(model.driver.generate(state, attempt)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    yield chunk
                    if chunk.finish:
                        return
                    wanted = self.limits.hand_over and not begun and may_leave
                    if leaving.may_leave_after(chunk, wanted=wanted):
                        self.models.rest.left(state.prompt_ids)
                        raise self._leaves()

    async def _model(self, begun: bool) -> Opened:
        if self.limits.accept is Accept.NONE and not begun:
            raise self.refused()
        try:
            return await self.models.ready(begun=begun)
        except EdgewiseError as trouble:
            raise self.refused(trouble) from trouble

    def refused(self, trouble: EdgewiseError | None = None) -> EdgewiseError:
        """Why a new answer is not made here, what to do, and when to come back."""
        return refused(self.limits, self.name, self._clock(), trouble)

    def _leaves(self) -> TierLeavingError:
        why = self.limits.reason or "the ladder of this device says so"
        return TierLeavingError(f"The answer goes on elsewhere: {why}", where=self.name)


class GatewayDoor:
    """The same tier for the gateway, which has other tiers: it is refused what the device would rather not make, and
    gets back whatever has begun here and need not stay."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self.name = served.name
        self.kind = served.kind

    @property
    def capabilities(self) -> Capabilities:
        return self._served.capabilities

    def load(self) -> Load:
        return self._served.load()

    def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """As `ServedModel.generate`; raises TierRefusedError for every new answer that another tier should make."""
        return self._generate(state, attempt)

    async def cancel(self, attempt: str) -> None:
        await self._served.cancel(attempt)

    async def _generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        if not (state.output_ids or state.output_text) and self._place(state) is not Place.HERE:
            raise self._served.refused()
        async with aclosing(self._served.answer(state, attempt, may_leave=_may_leave(state))) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk

    def _place(self, state: GenerationState) -> Place:
        return place(
            self._served.limits,
            private=not _may_leave(state),
            cloud=True,
            tokens=state.budget,
            context_tokens=len(state.prompt_ids) + state.max_tokens,
            every_row=self._served.every_row,
        )


def _may_leave(state: GenerationState) -> bool:
    return not (state.local_only or state.alone)


def _bounded(state: GenerationState, most: int | None) -> GenerationState:
    if most is None or state.max_tokens <= most:
        return state
    return msgspec.structs.replace(state, max_tokens=most)
