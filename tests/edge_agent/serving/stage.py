"""A served model of real engines on tiny graphs, and ways to ask it. Openings are counted, and can be made to fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.ladder import Limits
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.serving import Manner, Models, Opened, ServedModel
from edgewise.ending import end
from edgewise.generation.state import GenerationState
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.routing.tier import Chunk, Tier
from edgewise.wire.frames import Scalar
from tests.edge_agent.runtime.drive import state as plain_state


@dataclass
class Stage:
    """What a test watches and turns: `opened` are all openings asked for, `told` the changes, `room` free memory;
    `later_s` puts the clock forward."""

    options: EngineOptions = field(default_factory=EngineOptions)
    opened: list[Manner] = field(default_factory=list)
    told: list[tuple[str, dict[str, Scalar]]] = field(default_factory=list)
    before_open: Callable[[Manner], None] = lambda manner: None
    before_drive: Callable[[OnnxEngine], None] = lambda engine: None
    room: int = 1 << 40
    retry_s: float = 0.02
    hold_after_s: float = 0.05
    join_s: float = 10.0
    engine: type[OnnxEngine] = OnnxEngine
    driver: type[EngineDriver] = EngineDriver
    later_s: float = 0.0

    def open(self, manner: Manner) -> tuple[OnnxEngine, ChatTokenizer]:
        self.opened.append(manner)
        self.before_open(manner)
        options = replace(self.options, threads=manner.threads, spinning=manner.spinning)
        return self.engine.load(manner.directory, options), ChatTokenizer.load(manner.directory)

    def drive(self, engine: OnnxEngine, tokenizer: ChatTokenizer) -> EngineDriver:
        self.before_drive(engine)
        names = (engine.manifest.name,)
        return self.driver(engine, tokenizer, kind="edge", name="edge:phone-1", models=names, join_s=self.join_s)

    @asynccontextmanager
    async def serving(
        self,
        directory: Path,
        *,
        threads: int = 1,
        limits: Limits | None = None,
        throttle: float | None = None,
        every_row: bool = True,
    ) -> AsyncIterator[ServedModel]:
        models = Models(
            self.open,
            Manner(directory, threads, spinning=False),
            self.drive,
            limits=limits,
            throttle_tokens_per_s=throttle,
            told=lambda what, values: self.told.append((what, values)),
            available=lambda: self.room,
            retry_s=self.retry_s,
            hold_after_s=self.hold_after_s,
            clock=lambda: time.monotonic() + self.later_s,
        )
        await models.start()
        changes = asyncio.create_task(models.run())
        try:
            yield ServedModel(models, name="edge:phone-1", every_row=every_row)
        finally:
            await end(changes)
            await models.stop()

    @property
    def changes(self) -> list[str]:
        return [what for what, _ in self.told]


def begin(model: ServedModel, prompt: int = 40, **more: Any) -> GenerationState:
    """A state in the model's own ids that ends by length."""
    known = model.capabilities
    return msgspec.structs.replace(
        plain_state(prompt),
        tokenizer_digest=known.tokenizer_digest,
        template_digest=known.template_digest,
        **more,
    )


async def ids(tier: Tier, state: GenerationState, attempt: str = "a") -> tuple[int, ...]:
    """All ids of one answer."""
    return tuple(token for chunk in await chunks(tier, state, attempt) for token in chunk.ids)


async def chunks(tier: Tier, state: GenerationState, attempt: str = "a") -> list[Chunk]:
    return [chunk async for chunk in tier.generate(state, attempt)]


async def has_contexts(model: Opened | None) -> None:
    """Wait until an engine holds rows: those that were handed on to it have arrived."""
    assert model is not None
    await until(lambda: model.driver.stats.kv_bytes)


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` holds; the test's time-out is the limit."""
    while not condition():
        await asyncio.sleep(0.005)
