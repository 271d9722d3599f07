"""Which values flow through a float graph on calibration rows: one streaming histogram for each observed tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.decoder import open_session
from cloud_worker.forge.quantize.histogram import Histogram
from cloud_worker.forge.quantize.methods.base import FloatModel

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

    Raises ValueError when a value is not finite, GraphUnfitError.
    """
    names = activations(load_graph(model.graph))
    seen: dict[str, Histogram] = {}
    for start in range(0, len(names), OBSERVED_AT_ONCE):
        seen |= _observe(model, rows, names[start : start + OBSERVED_AT_ONCE], advance)
    return seen


def _observe(
    model: FloatModel, rows: CalibrationSet, names: Sequence[str], advance: Callable[[int], None]
) -> dict[str, Histogram]:
    session = _open_with_outputs(model, names)
    seen = {name: Histogram() for name in names}
    for row in rows.rows:
        values = session.run(list(names), feeds(session, row.ids, model.sizes.head_dim))
        for name, value in zip(names, values, strict=True):
            seen[name].add(value)
        advance(1)
    return seen


def _open_with_outputs(model: FloatModel, names: Sequence[str]) -> Any:
    """The float graph with these tensors among its outputs."""
    import onnx

    graph = load_graph(model.graph)
    there = {output.name for output in graph.graph.output}
    for name in names:
        if name not in there:
            graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    model.work.mkdir(parents=True, exist_ok=True)
    return open_session(save_graph(graph, model.work / "observed.onnx"))


def feeds(session: Any, ids: Sequence[int], head_dim: int) -> dict[str, Any]:
    """Inputs for one whole row over an empty cache."""
    given: dict[str, Any] = {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, len(ids)), np.int64),
    }
    for node in session.get_inputs():
        if node.name.startswith("past_key_values."):
            given[node.name] = np.zeros((1, node.shape[1], 0, head_dim), np.float32)
        elif node.name == "position_ids":
            given[node.name] = np.arange(len(ids), dtype=np.int64)[None]
    return given
