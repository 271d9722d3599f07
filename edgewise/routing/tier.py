"""The Tier protocol: one vocabulary for an edge node, a cloud worker and a foreign engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from edgewise.generation.probabilities import TokenProbability
from edgewise.generation.state import GenerationState
from edgewise.wire.frames import AttemptTimings

TierKind = Literal["edge", "cloud"]
Finish = Literal["stop", "length", "content_filter", "tool_calls"]


class Usage(msgspec.Struct, frozen=True):
    """Tokens that one attempt read and wrote."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(msgspec.Struct, frozen=True):
    """Some more of the answer.

    `n0` is the index in the whole answer of the first id in `ids`; `ids` is empty for engines that only give text;
    `text` is complete UTF-8 and never holds part of a stop string. `finish` is set on the last chunk only, and
    `usage` and `timings` there when the engine counts for itself. What was held back until the end (half a character,
    the beginning of a stop string) comes as the text of a last chunk without ids.

    `probabilities` are there where the state asks for them and the tier can tell, in this process: one for each of
    `ids`, and on the last chunk one for the end-of-sequence id that ended the answer.
    """

    n0: int
    ids: tuple[int, ...]
    text: str
    finish: Finish | None = None
    usage: Usage | None = None
    timings: AttemptTimings | None = None
    probabilities: tuple[TokenProbability, ...] = ()


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a tier can do, fixed while it is connected. Empty digests: the tier works on `messages`, not on ids."""

    models: tuple[str, ...]
    model_version: str = ""
    tokenizer_digest: str = ""
    template_digest: str = ""
    numerics_id: str = ""
    context_tokens: int = 0
    continues: bool = True
    """Whether an attempt may start with output ids (continue another tier's answer)."""
    grammars: bool = False
    """Whether it holds an answer to a grammar."""
    whole: bool = False
    """Whether it is a WholeTier."""
    chooses: bool = False
    """Whether it stands for tiers of its own and chooses among them, by a policy that judges their models itself."""


class Load(msgspec.Struct, frozen=True):
    """What a tier is doing now, as of `age_s` seconds ago. `rtt_ms` is its link's round trip, where there is one."""

    running: int = 0
    queued: int = 0
    slots: int = 1
    tokens_per_s: float = 0.0
    age_s: float = 0.0
    rtt_ms: float | None = None


class Tier(Protocol):
    """Something that can turn a GenerationState into tokens.

    `generate` raises TierError (or a subclass) when it cannot go on; what it yielded before stays valid. Closing the
    iterator, or `cancel(attempt)`, stops the work at once and is idempotent.
    """

    @property
    def name(self) -> str:
        """Unique while connected, such as `edge:phone-7` or `cloud:worker-0`."""
        ...

    @property
    def kind(self) -> TierKind: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]: ...

    async def cancel(self, attempt: str) -> None: ...

    def load(self) -> Load: ...


class WholeTier(Tier, Protocol):
    """A tier whose capabilities say `whole`: it can give an answer in one piece, where nobody reads before the end."""

    async def generate_whole(self, state: GenerationState, attempt: str) -> Chunk:
        """The text, the finish and the usage in one chunk. Raises as `generate` does; cancelling it stops the work."""
        ...
