"""OneByOne: a Decoder over anything that takes ids and gives the logits after them, one sequence at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cloud_worker.forge.evaluate.decoder import Advance, Forced, Said, no_progress

Row = NDArray[np.float32]


class OneByOne(ABC):
    """See Decoder. A runtime says how a sequence begins and how it goes on."""

    def __init__(self, end: int, context_tokens: int) -> None:
        self._end = end
        self._context_tokens = context_tokens

    @abstractmethod
    def begin(self) -> None:
        """Forget the sequence before."""

    @abstractmethod
    def feed(self, ids: Sequence[int]) -> Row:
        """Append ids; the logits [vocabulary] after the last of them."""

    @property
    def end(self) -> int:
        """See Decoder."""
        return self._end

    @property
    def context_tokens(self) -> int:
        """See Decoder."""
        return self._context_tokens

    def complete(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], advance: Advance = no_progress
    ) -> list[Said]:
        """See Decoder."""
        found = []
        for prompt, limit in zip(prompts, limits, strict=True):
            found.append(self._complete(prompt, limit))
            advance(1)
        return found

    def force(
        self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], advance: Advance = no_progress
    ) -> list[Forced]:
        """See Decoder. Token by token: exported graphs may give the logits of the last row only."""
        found = []
        for prompt, reply in zip(prompts, replies, strict=True):
            found.append(self._forced(prompt, reply))
            advance(1)
        return found

    def _complete(self, prompt: Sequence[int], limit: int) -> Said:
        ids, logprobs = list[int](), list[float]()
        self.begin()
        row = self.feed(prompt)
        while len(ids) < limit:
            token = int(row.argmax())
            logprobs.append(logprob(row, token))
            if token == self._end:
                return Said(tuple(ids), tuple(logprobs), True)
            ids.append(token)
            row = self.feed([token]) if len(ids) < limit else row
        return Said(tuple(ids), tuple(logprobs), False)

    def _forced(self, prompt: Sequence[int], reply: Sequence[int]) -> Forced:
        self.begin()
        rows = [self.feed(prompt), *(self.feed([token]) for token in reply)]
        logprobs = tuple(logprob(row, token) for row, token in zip(rows, [*reply, self._end], strict=True))
        return Forced(tuple(int(row.argmax()) for row in rows), logprobs)


def logprob(row: Row, token: int) -> float:
    """Natural logarithm of the softmax of logits [vocabulary] at `token`."""
    wide = row.astype(np.float64) - float(row.max())
    return float(wide[token] - np.log(np.exp(wide).sum()))
