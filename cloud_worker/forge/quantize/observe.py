"""Which values flow through a float graph on calibration rows: one streaming histogram for each observed tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.histogram import Histogram
from cloud_worker.forge.quantize.methods.base import FloatModel
from edgewise.graphs import DecoderGraph, GraphShape

OBSERVED_AT_ONCE = 64
"""Tensors that one pass hands out: bounds the memory that a pass over a deep model takes."""


def activations(graph: Any) -> list[str]:
    """Inputs and outputs of the matrices of a ModelProto: what static quantization needs ranges of, each once."""
    stored = {tensor.name for tensor in graph.graph.initializer}
    names: dict[str, None] = {}
    for node in graph.graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:
            names |= {node.input[0]: None, node.output[0]: None}
    return list(names)


@lru_cache(maxsize=1)
def observed(model: FloatModel, rows: CalibrationSet, changed_ns: int) -> Mapping[str, Histogram]:
    """`observe`, remembered for the methods that follow; `changed_ns` is when the float graph was written."""
    return observe(model, rows)


def observe(
    model: FloatModel, rows: CalibrationSet, advance: Callable[[int], None] = lambda count: None
) -> dict[str, Histogram]:
    """Histograms of all activations of the float graph, each row fed whole; `advance(n)` per n rows done.

    Raises ValueError when a value is not finite, ManifestError.
    """
    names = activations(load_graph(model.graph))
    seen: dict[str, Histogram] = {}
    for start in range(0, len(names), OBSERVED_AT_ONCE):
        seen |= _observe(model, rows, names[start : start + OBSERVED_AT_ONCE], advance)
    return seen


def _observe(
    model: FloatModel, rows: CalibrationSet, names: Sequence[str], advance: Callable[[int], None]
) -> dict[str, Histogram]:
    graph = _open_with_outputs(model, names)
    seen = {name: Histogram() for name in names}
    for row in rows.rows:
        values = graph.session.run(list(names), feeds(graph.shape, row.ids))
        for name, value in zip(names, values, strict=True):
            seen[name].add(value)
        advance(1)
    return seen


def _open_with_outputs(model: FloatModel, names: Sequence[str]) -> DecoderGraph:
    """The float graph with these tensors among its outputs."""
    import onnx

    graph = load_graph(model.graph)
    there = {output.name for output in graph.graph.output}
    for name in names:
        if name not in there:
            graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    model.work.mkdir(parents=True, exist_ok=True)
    return DecoderGraph.load(save_graph(graph, model.work / "observed.onnx"))


def feeds(shape: GraphShape, ids: Sequence[int]) -> dict[str, Any]:
    """Inputs for one whole row over an empty cache: what a head sees is the last row, as in prefill."""
    empty = np.zeros((1, shape.kv_heads, 0, shape.head_dim), shape.kv_dtype)
    return {
        "input_ids": np.array([ids], np.int64),
        "position_ids": np.arange(len(ids), dtype=np.int64)[None],
        "seqlens_k": np.array([len(ids) - 1], np.int32),
        "total_sequence_length": np.array(len(ids), np.int32),
        "rows": np.array([len(ids) - 1], np.int64),
    } | {f"past_key_values.{name}": empty for name in shape.cache_names}
