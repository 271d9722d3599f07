"""A Tier that does what a test tells it, for sessions and links: no model, no engine, no thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind, Usage
from edgewise.wire.errors import EdgewiseError
from edgewise.wire.manifest import Manifest


def manifest_of(tier: str = "edge", name: str = "small") -> Manifest:
    """A manifest of a model without files."""
    return Manifest(
        name=name,
        tier=tier,
        format="test",
        context_tokens=1024,
        eos_ids=(0,),
        files={},
        weights_digest="1" * 64,
        tokenizer_digest="2" * 64,
        template_digest="3" * 64,
    )


class GatedTier:
    """Says ids `n0`, `n0 + 1`, … each as its own chunk, when the gate lets it; ends by the budget or by `error`.

    `allow(n)` lets n more chunks out; `allow()` lifts the gate. `started`, `cancelled` and `closed` hold attempt ids.
    """

    def __init__(self, kind: TierKind = "edge", *, error: EdgewiseError | None = None, open_gate: bool = False) -> None:
        self.kind: TierKind = kind
        self.name = f"{kind}:gated"
        self.capabilities = Capabilities(models=("small",), numerics_id="gated", context_tokens=1024)
        self.error = error
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.closed: list[str] = []
        self.changed = asyncio.Event()
        self._open = open_gate
        self._allowed = asyncio.Semaphore(0)

    def allow(self, chunks: int | None = None) -> None:
        if chunks is None:
            self._open, chunks = True, 1
        for _ in range(chunks):
            self._allowed.release()

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        self.started.append(attempt)
        self.changed.set()
        try:
            for index in range(len(state.output_ids), state.max_tokens):
                if not self._open:
                    await self._allowed.acquire()
                if self.error is not None:
                    raise self.error
                yield Chunk(index, (index,), f"{index} ")
            yield Chunk(state.max_tokens, (), "", "length", Usage(len(state.prompt_ids), state.budget))
        finally:
            self.closed.append(attempt)
            self.changed.set()

    async def cancel(self, attempt: str) -> None:
        self.cancelled.append(attempt)
        self.changed.set()

    def load(self) -> Load:
        return Load(running=len(self.started) - len(self.closed), slots=4, tokens_per_s=12.5)

    async def until(self, attempts: list[str], count: int) -> None:
        """Wait until one of the lists above holds `count` attempts."""
        while len(attempts) < count:
            self.changed.clear()
            await self.changed.wait()
