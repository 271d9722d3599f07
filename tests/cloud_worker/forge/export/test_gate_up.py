"""Gate and up as one matrix: the same bits, each nibble in its place, and pairs that differ left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from cloud_worker.forge.export.gate_up import fuse_gate_up
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.quantize.methods.base import FloatModel
from cloud_worker.forge.quantize.methods.block import round_blocks
from cloud_worker.forge.stepping import open_row, rows_after

IDS = (3, 60, 61, 90, 17, 200, 41, 1)


def rounded(model: FloatModel, bits: int, symmetric: bool) -> Any:
    return round_blocks(load_graph(model.graph), bits, 32, symmetric)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_fused_graph_gives_the_same_bits(
    float_model: FloatModel, tmp_path: Path, bits: int, symmetric: bool
) -> None:
    graph = rounded(float_model, bits, symmetric)
    apart = save_graph(graph, tmp_path / "apart.onnx")
    assert fuse_gate_up(graph) == 2
    fused = save_graph(graph, tmp_path / "fused.onnx")
    rows = [rows_after(open_row(place, 32), IDS, 4) for place in (apart, fused)]
    assert np.array_equal(rows[0], rows[1])
    many = [open_row(place, 32).forward(IDS, rows=len(IDS)) for place in (apart, fused)]
    assert np.array_equal(many[0], many[1])


def test_every_nibble_is_where_it_was(float_model: FloatModel) -> None:
    graph = rounded(float_model, 4, True)
    before = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    fuse_gate_up(graph)
    after = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    fused = [name for name in after if "gate_up_proj" in name and "Split" not in name]
    assert len(fused) == 4
    for name in fused:
        apart = [before[name.replace("gate_up_proj", one)] for one in ("gate_proj", "up_proj")]
        assert np.array_equal(after[name], np.concatenate(apart))
    assert not [name for name in after if "gate_proj" in name or "/up_proj" in name]


def test_a_pair_that_differs_is_left_alone(float_model: FloatModel) -> None:
    graph = rounded(float_model, 4, True)
    gate = next(node for node in graph.graph.node if "layers.0/mlp/gate_proj" in node.name)
    next(one for one in gate.attribute if one.name == "accuracy_level").i = 0
    assert fuse_gate_up(graph) == 1
    assert gate in list(graph.graph.node)


def test_float_matrices_are_left_alone(float_model: FloatModel) -> None:
    graph = load_graph(float_model.graph)
    assert fuse_gate_up(graph) == 0
    assert graph == load_graph(float_model.graph)
