"""What the engine is asked for: whether this model can do it on this device, and what waits for a slot."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.runtime.failures import unsupported
from edgewise.generation.grammar import Constraint
from edgewise.generation.sampling import check_sampling
from edgewise.generation.state import GenerationState
from edgewise.wire.errors import MessageTooLongError


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request without a slot; its grammar was compiled, and followed so far, when it came."""

    state: GenerationState
    constraint: Constraint | None


def check_state(state: GenerationState, *, model: str, vocab: int, context_tokens: int) -> None:
    """Raises MessageTooLongError, UnsupportedParameterError, and BadRequestError for its sampling."""
    used = len(state.prompt_ids) + len(state.output_ids)
    if used > context_tokens or not state.prompt_ids:
        raise MessageTooLongError(
            f"The conversation has {used} tokens",
            where="edge engine",
            expected=f"1 to {context_tokens} tokens for {model} on this device",
            remedy="shorten the messages, or let the cloud answer",
        )
    check_sampling(state.sampling, vocab)
    if not all(0 <= token < vocab for token in (*state.prompt_ids, *state.output_ids)):
        raise unsupported("these token ids", f"ids 0 to {vocab - 1}", "use this model's tokenizer")
