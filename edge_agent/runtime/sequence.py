"""One generation on one cache row: prompt in chunks on a fixed grid, output ids one at a time, then a token a step.

    prompt   |--- chunk ---|--- chunk ---|- tail -|     the same calls for every run of this prompt
    replay                                         | o o o o |       single-token calls, as when they were generated
    decode                                                   | * * *

So a resumed generation makes exactly the calls that the undisturbed one made, and its next token is the same.
"""

from __future__ import annotations

from edge_agent.runtime.session import CacheRow, Logits
from edgewise.generation.sampling import next_token
from edgewise.generation.state import GenerationState
from edgewise.node.engine import StepOutput

REPLAY_PER_STEP = 16


class OnnxSequence:
    """A running attempt. `reused` prompt tokens were in the cache already (a multiple of `chunk`)."""

    def __init__(self, attempt: str, state: GenerationState, row: CacheRow, *, chunk: int, eos: frozenset[int]) -> None:
        self.attempt = attempt
        self.state = state
        self.row = row
        self.reused = row.length
        self._chunk = chunk
        self._eos = eos
        self._logits: Logits | None = None

    @property
    def prefilling(self) -> bool:
        """Whether prompt tokens are still to be read."""
        return self.row.length < len(self.state.prompt_ids)

    @property
    def chunked_tokens(self) -> int:
        """Prompt tokens whose rows came from whole chunks: what a later prompt with the same start may reuse."""
        return min(self.row.length, len(self.state.prompt_ids)) // self._chunk * self._chunk

    def prefill(self) -> None:
        """Read the next chunk of the prompt."""
        start = self.row.length
        self._logits = self.row.forward(self.state.prompt_ids[start : start + self._chunk])

    def decode(self) -> StepOutput | None:
        """One more token, or a bounded piece of replay (None)."""
        if self.state.budget <= 0:
            return StepOutput(self.attempt, (), "length")
        if not self._replay():
            return None
        assert self._logits is not None
        token = next_token(self._logits, self.state)
        if token in self._eos:
            return StepOutput(self.attempt, (), "stop")
        self.state = self.state.advanced((token,), "")
        self._logits = None
        return StepOutput(self.attempt, (token,), "length" if self._is_full() else None)

    def _replay(self) -> bool:
        """Feed the output ids that the cache lacks; True when the logits for the next token are there."""
        done = self.row.length - len(self.state.prompt_ids)
        for token in self.state.output_ids[done : done + REPLAY_PER_STEP]:
            self._logits = self.row.forward((token,))
        return self._logits is not None and done + REPLAY_PER_STEP >= len(self.state.output_ids)

    def _is_full(self) -> bool:
        used = len(self.state.prompt_ids) + len(self.state.output_ids)
        return self.state.budget <= 0 or used >= self.row.capacity
