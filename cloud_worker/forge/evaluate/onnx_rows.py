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
from cloud_worker.forge.evaluate.one_by_one import OneByOne, Row


class OnnxRows(OneByOne):
    """A graph as a Decoder, on one CPU thread."""

    def __init__(self, directory: Path, end: int, context_tokens: int | None = None) -> None:
        self._graph = OnnxGreedy(directory)
        super().__init__(end, context_tokens or self._graph.config.max_position_embeddings)
        self._names = [output.name for output in self._graph.session.get_outputs()]
        self._kept = [(place, name) for place, name in enumerate(self._names) if name.startswith("present")]
        self._empty = {name: _value(array) for name, array in self._graph.empty_cache().items()}
        self._takes_positions = "position_ids" in {given.name for given in self._graph.session.get_inputs()}
        self.begin()

    def begin(self) -> None:
        """See OneByOne."""
        self._past, self._length = self._empty, 0

    def feed(self, ids: Sequence[int]) -> Row:
        """See OneByOne."""
        length = self._length + len(ids)
        feeds = {"input_ids": _value(np.array([ids], np.int64)), **self._past}
        feeds["attention_mask"] = _value(np.ones((1, length), np.int64))
        if self._takes_positions:
            feeds["position_ids"] = _value(np.arange(self._length, length, dtype=np.int64)[None])
        results = self._graph.session.run_with_ort_values(self._names, feeds)
        self._past = {name.replace("present", "past_key_values"): results[place] for place, name in self._kept}
        self._length = length
        row: Row = results[self._names.index("logits")].numpy()[0, -1].astype(np.float32)
        return row


def _value(array: NDArray[Any]) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
