"""Exported graphs stepped for measurements, one thread and one sequence, by the runtime's own rows (edgewise/graphs).

No torch here; greedy loops are decoding.py's, examinations evaluate/onnx_rows.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgewise.graphs import CacheRow, DecoderGraph, Logits


def open_row(graph: Path, capacity: int) -> CacheRow:
    """A cache of at most `capacity` tokens on a graph file. Raises ManifestError for one that is no decoder."""
    return DecoderGraph.load(graph).new_row(capacity)


def rows_after(row: CacheRow, ids: Sequence[int], start: int) -> Logits:
    """Logits [len(ids) - start + 1, vocabulary] after ids[:start] and after each further id, fed alone as in decoding.

    Whatever the cache held is forgotten; start >= 1.
    """
    row.rewind(0)
    rows = [row.forward(ids[:start])[-1].copy()]  # what forward gives is overwritten by the next call
    rows += [row.forward((token,))[-1].copy() for token in ids[start:]]
    return np.stack(rows)
