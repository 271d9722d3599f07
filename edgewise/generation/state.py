"""GenerationState: everything that decides the next token, in one record that crosses every seam.

A hand-off, a resume and a race all move this record and nothing else. A field that is not here cannot be lost at a
seam; a new field must be listed in `tests/edgewise/generation/test_state.py`, which fails until it is.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

SALT_MAX_BYTES = 64
"""As many as the names of contexts can be keyed by (BLAKE2b)."""
RANK_MAX = 16
"""Ranks lie between minus this and this; edgewise.routing.terms makes them."""


class Message(msgspec.Struct, frozen=True):
    """One turn of the chat as the client wrote it; needed by tiers that do not share the tokenizer."""

    role: str
    content: str


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the next token is drawn. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 switch the filters off.

    `repetition_penalty` divides positive and multiplies negative logits of tokens that stand in prompt or output; 1 is
    off. The other penalties look at the output alone.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: dict[int, float] = {}
    repetition_penalty: float = 1.0


class GenerationState(msgspec.Struct, frozen=True, kw_only=True):
    """A generation at one moment: prompt, what was said so far, and every rule for what comes next.

    `prompt_ids` and `output_ids` are token ids of the tokenizer named by `tokenizer_digest`. `max_tokens` counts the
    whole answer, so what is left is `budget`. `seed` is always explicit (the gateway draws one when the client gave
    none). `model` is the model that the client named; `model_version` the version that spoke last, if any did: a
    manifest id, under an adapter with `+` and its digest. `output_text` is what the output ids released so far, for
    tiers that only speak text. A `local_only` state never leaves the device it is on: every tier that would send it
    elsewhere refuses it. `probabilities` asks the engine to tell how sure it was of each token. States with different
    `salt`s never reuse each other's rows; whoever answers makes it of the caller (edgewise/api/owners.py), and no
    token depends on it. `alone` says to the tier that is asked that nobody else may or can make this answer: a device
    then takes it where it would rather not. `tenant` (who shares a queue fairly with others; without one the salt
    says it) and `rank` (who comes before whom there, 0 in the middle) are made by whoever answers, too: they decide
    when an answer comes, and nothing else.
    """

    prompt_ids: tuple[int, ...]
    messages: tuple[Message, ...]
    model: str
    max_tokens: int
    seed: int
    sampling: Sampling = Sampling()
    output_ids: tuple[int, ...] = ()
    output_text: str = ""
    choice: int = 0
    stops: tuple[str, ...] = ()
    eos_ids: tuple[int, ...] = ()
    grammar: str | None = None
    tools: msgspec.Raw | None = None
    tokenizer_digest: str = ""
    template_digest: str = ""
    model_version: str = ""
    numerics_id: str = ""
    local_only: bool = False
    probabilities: bool = False
    salt: Annotated[bytes, msgspec.Meta(max_length=SALT_MAX_BYTES)] = b""
    alone: bool = False
    tenant: Annotated[bytes, msgspec.Meta(max_length=SALT_MAX_BYTES)] = b""
    rank: Annotated[int, msgspec.Meta(ge=-RANK_MAX, le=RANK_MAX)] = 0

    @property
    def budget(self) -> int:
        """Tokens that may still be generated."""
        return self.max_tokens - len(self.output_ids)

    def advanced(self, ids: tuple[int, ...], text: str) -> GenerationState:
        """The same generation after `ids` more tokens, which released `text`.

        Text without ids comes from a tier that speaks text only. The ids before it then no longer tell the whole
        answer, so they are dropped; whoever needs ids encodes `output_text` anew.
        """
        if text and not ids:
            return msgspec.structs.replace(self, output_ids=(), output_text=self.output_text + text)
        return msgspec.structs.replace(self, output_ids=self.output_ids + ids, output_text=self.output_text + text)
