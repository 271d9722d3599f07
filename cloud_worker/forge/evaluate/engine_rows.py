"""The cloud engine's model as a Decoder: what is examined is the arithmetic that serves, with the weights that serve.

Batches are stepped plainly; scheduler and sampler of the engine are not asked, they change no token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from cloud_worker.engine.model.config import load_config
from cloud_worker.engine.model.decoder import Decoder as Model
from cloud_worker.engine.work import BLOCK_TOKENS, Segment
from cloud_worker.forge.evaluate.decoder import Advance, Forced, Said, no_progress

ROWS: Final = 32
"""Sequences at once, if nothing else is said."""

Ids = Sequence[int]


class EngineRows:
    """See Decoder. `model` has blocks for `rows` sequences of `context_tokens`, and nobody else uses it."""

    def __init__(self, model: Model, end: int, context_tokens: int, rows: int = ROWS) -> None:
        self._model, self.end, self.context_tokens, self._most = model, end, context_tokens, rows
        self._blocks = -(-context_tokens // BLOCK_TOKENS)

    @classmethod
    def load(cls, directory: Path, end: int, precision: str, kind: str, rows: int = ROWS) -> EngineRows:
        """The model of a directory. Raises as `Decoder.load` of the engine."""
        context = load_config(directory).sizes.max_position_embeddings
        model = Model.load(directory, precision, rows * -(-context // BLOCK_TOKENS), kind)
        return cls(model, end, context, rows)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all matrices, as they are multiplied."""
        weights = self._model.weights
        inner = (part for layer in weights.layers for part in (layer.qkv, layer.out, layer.gate_up, layer.down))
        return weights.head.size_bytes + sum(part.size_bytes for part in inner)

    def complete(self, prompts: Sequence[Ids], limits: Sequence[int], advance: Advance = no_progress) -> list[Said]:
        """See Decoder. Prompts with like limits share a batch."""
        found: dict[int, Said] = {}
        for places in self._batches(sorted(range(len(prompts)), key=lambda i: limits[i])):
            said = self._complete([prompts[i] for i in places], [limits[i] for i in places])
            found |= dict(zip(places, said, strict=True))
            advance(len(places))
        return [found[place] for place in range(len(prompts))]

    def force(self, prompts: Sequence[Ids], replies: Sequence[Ids], advance: Advance = no_progress) -> list[Forced]:
        """See Decoder. Prompts are read as tiles and replies as rows, as in serving."""
        found = list[Forced]()
        for places in self._batches(range(len(prompts))):
            segments, counts = list[Segment](), list[int]()
            for slot, place in enumerate(places):
                rows = [self._rows(slot, len(prompts[place]), replies[place])] if replies[place] else []
                segments += [self._prompt(slot, prompts[place]), *rows]
                counts.append(1 + len(replies[place]))
            views = zip(places, torch.split(self._logits(segments), counts), strict=True)
            found += [_view(logits, [*replies[place], self.end]) for place, logits in views]
            advance(len(places))
        return found

    def _complete(self, prompts: Sequence[Ids], limits: Sequence[int]) -> list[Said]:
        ids: list[list[int]] = [[] for _ in prompts]
        scores: list[list[float]] = [[] for _ in prompts]
        ended = [False] * len(prompts)
        going = [slot for slot, limit in enumerate(limits) if limit > 0]
        segments = [self._prompt(slot, prompts[slot]) for slot in going]
        while going:
            best, logprobs = _best(self._logits(segments))
            for slot, token, logprob in zip(going, best, logprobs, strict=True):
                scores[slot].append(logprob)
                ended[slot] = token == self.end
                ids[slot] += [] if ended[slot] else [token]
            going = [slot for slot in going if not ended[slot] and len(ids[slot]) < limits[slot]]
            segments = [self._rows(slot, len(prompts[slot]) + len(ids[slot]) - 1, ids[slot][-1:]) for slot in going]
        return [Said(tuple(i), tuple(s), e) for i, s, e in zip(ids, scores, ended, strict=True)]

    def _prompt(self, slot: int, ids: Ids) -> Segment:
        return Segment(str(slot), self._table(slot), 0, tuple(ids), prompt=True, wanted=1)

    def _rows(self, slot: int, start: int, ids: Ids) -> Segment:
        return Segment(str(slot), self._table(slot), start, tuple(ids), prompt=False, wanted=len(ids))

    def _batches(self, order: Sequence[int]) -> Iterator[Sequence[int]]:
        return (order[start : start + self._most] for start in range(0, len(order), self._most))

    def _table(self, slot: int) -> range:
        return range(slot * self._blocks, (slot + 1) * self._blocks)

    def _logits(self, segments: Sequence[Segment]) -> Tensor:
        return self._model.logits(self._model.forward(segments))


def _best(logits: Tensor) -> tuple[list[int], list[float]]:
    scores, best = torch.log_softmax(logits, -1).max(-1)
    return best.tolist(), scores.tolist()


def _view(logits: Tensor, given: Ids) -> Forced:
    """`logits` [n, vocab] are before each of the given ids."""
    best, _ = _best(logits)
    scores = torch.log_softmax(logits, -1).gather(-1, torch.tensor(given)[:, None])[:, 0]
    return Forced(tuple(best), tuple(scores.tolist()))
