"""Greedy decoding of an exported graph for examinations: one row at a time, as a device runs it.

A graph with quantized activations gives a row other logits in a batch than alone, so batching would judge another
model than the one that ships.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cloud_worker.architectures import model_sizes
from cloud_worker.forge.evaluate.one_by_one import OneByOne, Row
from cloud_worker.forge.stepping import open_row
from edgewise.graphs import CacheRow


class OnnxRows(OneByOne):
    """A cache row of a graph as a Decoder; its capacity is the context."""

    def __init__(self, row: CacheRow, end: int) -> None:
        super().__init__(end, row.capacity)
        self._row = row

    def begin(self) -> None:
        """See OneByOne."""
        self._row.rewind(0)

    def feed(self, ids: Sequence[int]) -> Row:
        """See OneByOne."""
        row: Row = self._row.forward(ids)[-1].copy()  # the next call overwrites what it gives
        return row


def open_rows(directory: Path, end: int, context_tokens: int | None = None) -> OnnxRows:
    """The graph of a model directory on one CPU thread; the context is that of config.json where none is said.

    Raises ManifestError, ConfigJsonError.
    """
    capacity = context_tokens or model_sizes(directory).max_position_embeddings
    return OnnxRows(open_row(directory / "model.onnx", capacity), end)
