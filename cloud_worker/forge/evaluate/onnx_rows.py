"""Greedy decoding of an exported graph for examinations: one row at a time, as a device runs it.

A graph with quantized activations gives a row other logits in a batch than alone, so batching would judge another
model than the one that ships. The cache never leaves ONNX Runtime between two tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_worker.forge.decoding import OnnxGreedy
from cloud_worker.forge.evaluate.decoder import Advance, Forced, Said, no_progress

Row = NDArray[np.float32]


class OnnxRows:
    """A graph as a Decoder, on one CPU thread."""

    def __init__(self, directory: Path, end: int, context_tokens: int | None = None) -> None:
        self._graph = OnnxGreedy(directory)
        self._end = end
        self.context_tokens = context_tokens or self._graph.config.max_position_embeddings
        self._names = [output.name for output in self._graph.session.get_outputs()]
        self._kept = [(place, name) for place, name in enumerate(self._names) if name.startswith("present")]
        self._empty = {name: _value(array) for name, array in self._graph.empty_cache().items()}
        self._takes_positions = "position_ids" in {given.name for given in self._graph.session.get_inputs()}

    @property
    def end(self) -> int:
        """See Decoder."""
        return self._end

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
            found.append(self._force(prompt, reply))
            advance(1)
        return found

    def _complete(self, prompt: Sequence[int], limit: int) -> Said:
        sequence, ids, logprobs = _Sequence(self), list[int](), list[float]()
        row = sequence.feed(prompt)
        while len(ids) < limit:
            token = int(row.argmax())
            logprobs.append(logprob(row, token))
            if token == self._end:
                return Said(tuple(ids), tuple(logprobs), True)
            ids.append(token)
            row = sequence.feed([token]) if len(ids) < limit else row
        return Said(tuple(ids), tuple(logprobs), False)

    def _force(self, prompt: Sequence[int], reply: Sequence[int]) -> Forced:
        sequence = _Sequence(self)
        rows = [sequence.feed(prompt), *(sequence.feed([token]) for token in reply)]
        given = [*reply, self._end]
        logprobs = tuple(logprob(row, token) for row, token in zip(rows, given, strict=True))
        return Forced(tuple(int(row.argmax()) for row in rows), logprobs)

    def step(self, ids: Sequence[int], past: dict[str, Any], length: int) -> tuple[Row, dict[str, Any]]:
        """Append ids after `length` cached ones: the last row of logits [vocabulary] and the new cache."""
        feeds = {"input_ids": _value(np.array([ids], np.int64)), **past}
        feeds["attention_mask"] = _value(np.ones((1, length + len(ids)), np.int64))
        if self._takes_positions:
            feeds["position_ids"] = _value(np.arange(length, length + len(ids), dtype=np.int64)[None])
        results = self._graph.session.run_with_ort_values(self._names, feeds)
        present = {name.replace("present", "past_key_values"): results[place] for place, name in self._kept}
        row: Row = results[self._names.index("logits")].numpy()[0, -1].astype(np.float32)
        return row, present

    def empty(self) -> dict[str, Any]:
        """A cache without rows."""
        return self._empty


class _Sequence:
    """One sequence and its cache."""

    def __init__(self, owner: OnnxRows) -> None:
        self._owner, self._past, self._length = owner, owner.empty(), 0

    def feed(self, ids: Sequence[int]) -> Row:
        """Append ids; the logits after the last of them."""
        row, self._past = self._owner.step(ids, self._past, self._length)
        self._length += len(ids)
        return row


def logprob(row: Row, token: int) -> float:
    """Natural logarithm of the softmax of logits [vocabulary] at `token`."""
    wide = row.astype(np.float64) - float(row.max())
    return float(wide[token] - np.log(np.exp(wide).sum()))


def _value(array: NDArray[Any]) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
