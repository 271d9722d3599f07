"""A Tier that follows a script: the fake that ships beside the real ones, for tests of the runner and the modes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind
from edgewise.wire.errors import TierError


@dataclass
class Script:
    """What to say (one token each), and what goes wrong: fail before token `fails_at`, or hang there for ever.

    `gate`, when given, must be set before anything is said.
    """

    words: tuple[str, ...] = ("a", "b", "c")
    fails_at: int | None = None
    hangs_at: int | None = None
    error: TierError = field(default_factory=lambda: TierError("scripted failure"))
    gate: asyncio.Event | None = None


class ScriptedTier:
    """Says `script.words[i]` as token id i, so any tier with the same script continues any other to the letter."""

    def __init__(self, name: str, kind: TierKind, script: Script, capabilities: Capabilities | None = None) -> None:
        self.name = name
        self.kind: TierKind = kind
        self.script = script
        self.capabilities = capabilities or Capabilities(
            models=("scripted",), tokenizer_digest="t", template_digest="c", context_tokens=10_000
        )
        self.cancelled: list[str] = []
        self.states: list[GenerationState] = []

    def load(self) -> Load:
        return Load()

    async def cancel(self, attempt: str) -> None:
        self.cancelled.append(attempt)

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        self.states.append(state)
        if self.script.gate is not None:
            await self.script.gate.wait()
        words = self.script.words[: state.max_tokens]
        for index in range(len(state.output_ids), len(words)):
            if index == self.script.fails_at:
                raise self.script.error
            if index == self.script.hangs_at:
                await asyncio.Event().wait()
            yield Chunk(index, (index,), words[index])
        yield Chunk(len(words), (), "", "stop" if len(words) == len(self.script.words) else "length")
