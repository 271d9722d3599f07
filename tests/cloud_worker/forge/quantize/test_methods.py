"""Every method of the registry on one small model: the graph loads, is near the float one, and is no larger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloud_worker.forge.export.errors import CombinationRefusedError, GraphUnfitError
from cloud_worker.forge.export.graphs import graph_bytes, load_graph
from cloud_worker.forge.quantize.calibration import CalibrationRow, CalibrationSet, CalibrationSetError
from cloud_worker.forge.quantize.divergence import TrialRow, divergence, forced_rows
from cloud_worker.forge.quantize.matrices import matrices, short_name
from cloud_worker.forge.quantize.methods.base import FloatModel, QuantizationMethod
from cloud_worker.forge.quantize.methods.builder_int4 import BuilderInt4
from cloud_worker.forge.quantize.methods.impossible import Impossible
from cloud_worker.forge.quantize.methods.registry import METHODS, method
from cloud_worker.forge.quantize.observe import activations, observe
from cloud_worker.forge.stepping import open_row
from edgewise.wire.errors import ManifestError

RNG = np.random.default_rng(5)
ROWS = [TrialRow(tuple(int(one) for one in RNG.integers(5, 500, 24)), 6) for _ in range(4)]
CALIBRATION = CalibrationSet.of(
    [CalibrationRow(tuple(int(one) for one in RNG.integers(5, 500, 40)), "en") for _ in range(12)]
)
IN_LIBRARY = [one for one in METHODS if not isinstance(one, Impossible | BuilderInt4)]


def fits(one: QuantizationMethod, model: FloatModel) -> bool:
    try:
        one.check(model.sizes)
    except CombinationRefusedError:
        return False
    return True


@pytest.mark.parametrize("one", IN_LIBRARY, ids=lambda one: one.name)
def test_a_method_gives_a_graph_near_the_float_one(
    one: QuantizationMethod, float_model: FloatModel, tmp_path: Path
) -> None:
    float_model.work.mkdir(exist_ok=True)
    if not fits(one, float_model):
        with pytest.raises(CombinationRefusedError, match="do not divide"):
            one.quantize(float_model, CALIBRATION, tmp_path / "x.onnx")
        return
    graph = one.quantize(float_model, CALIBRATION, tmp_path / "x.onnx")
    rows = [list(forced_rows(open_row(place, 64), ROWS)) for place in (float_model.graph, graph)]
    far = divergence(ROWS, *rows)
    assert far.kl < (0.05 if one.bits == 8 else 3.0) if one.bits < 32 else far.largest_gap == 0.0
    assert (far.kl > 0) == (one.bits < 32)
    assert graph_bytes(graph) < graph_bytes(float_model.graph) * 1.01


def test_the_names_are_one_each_and_found() -> None:
    names = [one.name for one in METHODS]
    assert len(set(names)) == len(names)
    assert [method(name) for name in names] == list(METHODS)
    with pytest.raises(CombinationRefusedError, match="no quantization method 'gptq'"):
        method("gptq")


def test_the_registry_has_every_kind() -> None:
    kinds = {(one.bits, one.granularity.value) for one in METHODS}
    assert {(bits, kind) for bits in (4, 8) for kind in ("tensor", "channel", "group")} <= kinds
    assert {one.static for one in METHODS} == {one.symmetric for one in METHODS} == {True, False}
    assert all(one.static == one.needs_calibration for one in IN_LIBRARY)


def test_static_methods_want_calibration_rows(float_model: FloatModel, tmp_path: Path) -> None:
    for given in (None, CalibrationSet(())):
        with pytest.raises(CalibrationSetError, match="needs calibration rows"):
            method("int8-static-channel-mse").quantize(float_model, given, tmp_path / "x.onnx")


def test_what_nobody_does_says_why() -> None:
    for one in METHODS:
        if isinstance(one, Impossible):
            assert len(one.reason) > 20


def test_attention_and_head_stay_at_eight_bits(float_model: FloatModel, tmp_path: Path) -> None:
    graph = load_graph(method("int4-block32-attention8").quantize(float_model, None, tmp_path / "x.onnx"))
    bits = {
        node.name: next(one.i for one in node.attribute if one.name == "bits")
        for node in graph.graph.node
        if node.op_type == "MatMulNBits"
    }
    assert {name for name, value in bits.items() if value == 8} == {n for n in bits if "/attn/" in n or "lm_head" in n}
    assert {name for name, value in bits.items() if value == 4} == {n for n in bits if "/mlp/" in n}
    assert "GatherBlockQuantized" in {node.op_type for node in graph.graph.node}


def test_a_tied_embedding_is_stored_once(float_model: FloatModel, tmp_path: Path) -> None:
    one = method("int8-block32").quantize(float_model, None, tmp_path / "tied.onnx")
    two = method("int8-block32-asymmetric").quantize(float_model, None, tmp_path / "apart.onnx")
    table = float_model.sizes.embedding_parameters * 4
    assert two.stat().st_size - one.stat().st_size > 0.95 * table
    assert "lm_head.MatMul.weight" not in {tensor.name for tensor in load_graph(one).graph.initializer}


def test_activations_are_observed_over_all_rows(float_model: FloatModel) -> None:
    done: list[int] = []
    seen = observe(float_model, CALIBRATION, done.append)
    graph = load_graph(float_model.graph)
    assert list(seen) == activations(graph)
    assert sum(done) == len(CALIBRATION.rows)
    width = float_model.sizes.hidden_size
    first = next(node for node in graph.graph.node if node.op_type == "MatMul")
    assert seen[first.input[0]].total == CALIBRATION.tokens * width


def test_the_matrices_are_found_by_name(float_model: FloatModel) -> None:
    found = {short_name(name): shape for name, shape in matrices(load_graph(float_model.graph)).items()}
    assert found["layers.0.attn.qkv_proj"] == (64, 128)
    assert found["lm_head"] == (64, 512)
    assert len(found) == 11


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no graph")
    with pytest.raises(ManifestError, match="does not load"):
        open_row(tmp_path / "x.onnx", 64)
    with pytest.raises(GraphUnfitError, match="cannot be read"):
        load_graph(tmp_path / "none.onnx")
