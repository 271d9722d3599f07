"""`python -m edgewise.graphs.prepack GRAPH FOLDER`: a graph with packed weights, seen to compute the same bits.

The check is no formality: ONNX Runtime 1.31 lays a packed matrix out by the alignment of its address. Where the file
puts one elsewhere (rows that are no multiple of 64, scales too small to be stored apart) it is silently read wrongly.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import onnxruntime as ort  # type: ignore[import-untyped]

from edgewise.graphs.machine import PROVIDER
from edgewise.graphs.prepacked import GRAPH_FILE, WEIGHTS_FILE
from edgewise.graphs.session import DecoderGraph

CALLS: Final = (33, 2, 1)
"""Tokens of the calls that are compared: several tiles, a few rows, one row."""
EXTERNAL_BYTES: Final = 64
"""Tensors from here on are stored apart. Smaller ones have no packed form."""


def prepack(graph: Path, folder: Path) -> None:
    """Let ONNX Runtime optimize and pack `graph`, compare, and put the result on the disk, flushed.

    Raises ValueError when the packed graph computes something else.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / GRAPH_FILE)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS_FILE)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(EXTERNAL_BYTES)
    )
    options.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")
    ort.InferenceSession(str(graph), options, providers=[PROVIDER])
    if _bits(folder / GRAPH_FILE) != _bits(graph):
        raise ValueError("the packed graph computes other bits")
    for path in (folder / WEIGHTS_FILE, folder / GRAPH_FILE, folder):
        _flush(path)


def _bits(graph: Path) -> bytes:
    """Logits and cache of a short text."""
    loaded = DecoderGraph.load(graph)
    row, seen = loaded.new_row(sum(CALLS)), []
    for count in CALLS:
        ids = [(row.length + at) * 31 % loaded.shape.vocab for at in range(count)]
        seen.append(row.forward(ids, rows=count).tobytes())
    return b"".join(seen) + row.read(0, row.length).tobytes()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if __name__ == "__main__":
    try:
        prepack(Path(sys.argv[1]), Path(sys.argv[2]))
    except ValueError as error:
        sys.exit(str(error))
