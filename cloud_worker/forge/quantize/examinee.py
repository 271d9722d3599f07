"""A decoder graph as the examination wants it (evaluate.decoder.Decoder): greedy replies and views of given replies."""

from __future__ import annotations

from collections.abc import Sequence

from cloud_worker.forge.evaluate import Forced, Said
from cloud_worker.forge.evaluate.decoder import Advance, no_progress
from cloud_worker.forge.quantize.decoder import GraphDecoder, Logits
from cloud_worker.forge.quantize.divergence import log_softmax


class Examinee:
    """See evaluate.decoder.Decoder."""

    def __init__(self, decoder: GraphDecoder, end: int) -> None:
        self._decoder = decoder
        self._end = end

    @property
    def end(self) -> int:
        """See Decoder."""
        return self._end

    @property
    def context_tokens(self) -> int:
        """See Decoder."""
        return self._decoder.capacity

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
        """See Decoder."""
        found = []
        for prompt, reply in zip(prompts, replies, strict=True):
            rows = self._decoder.teacher_forced([*prompt, *reply, self._end], len(prompt))
            given = [*reply, self._end]
            logs = log_softmax(rows)[range(len(given)), given]
            found.append(Forced(tuple(int(row.argmax()) for row in rows), tuple(float(one) for one in logs)))
            advance(1)
        return found

    def _complete(self, prompt: Sequence[int], limit: int) -> Said:
        self._decoder.rewind()
        ids, logprobs = list[int](), list[float]()
        row: Logits = self._decoder.forward(prompt)[-1]
        while len(ids) < limit:
            token = int(row.argmax())
            logprobs.append(float(log_softmax(row[None])[0, token]))
            if token == self._end:
                return Said(tuple(ids), tuple(logprobs), True)
            ids.append(token)
            row = self._decoder.forward((token,))[-1]
        return Said(tuple(ids), tuple(logprobs), False)
