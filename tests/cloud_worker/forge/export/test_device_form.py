"""The device form: the same bits as the builder's own form, whatever the calls; what is unknown is not rewritten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_worker.forge.export.device_form import KV_KEY, ROWS_NODE, show_hidden_states, to_device_form
from cloud_worker.forge.export.errors import GraphUnfitError
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.quantize.methods.base import FloatModel
from cloud_worker.forge.quantize.methods.registry import method
from cloud_worker.forge.stepping import open_row
from edgewise.graphs import FORM, DecoderGraph, Logits
from edgewise.graphs.shape import FORM_KEY, HEAD_DIM_KEY

HEAD_DIM, CAPACITY = 32, 48
TEXTS = st.lists(st.lists(st.integers(0, 511), min_size=1, max_size=9), min_size=1, max_size=5)


def builder_form(model: Any) -> Any:
    """What the builder wrote, from the device form: a mask that is counted, and the last row before the head."""
    graph, helper = model.graph, onnx.helper
    number = {name: onnx.numpy_helper.from_array(np.array(value, np.int64), name) for name, value in
              (("one", 1), ("ones", [1]), ("minus", -1))}  # fmt: skip
    graph.initializer.extend(number.values())
    lengths = [
        helper.make_node("ReduceSum", ["attention_mask", "ones"], ["sum"], keepdims=0),
        helper.make_node("Sub", ["sum", "ones"], ["less"]),
        helper.make_node("Cast", ["less"], ["lengths"], to=onnx.TensorProto.INT32),
        helper.make_node("Shape", ["attention_mask"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["total"], to=onnx.TensorProto.INT32),
    ]
    for node in graph.node:
        if node.op_type == "GroupQueryAttention":
            node.input[5], node.input[6], node.input[9] = "lengths", "total", ""
    chosen = next(node for node in graph.node if node.name == ROWS_NODE)
    place = list(graph.node).index(chosen)
    graph.node.insert(place, helper.make_node("Unsqueeze", ["last", "ones"], [chosen.output[0]]))
    graph.node.insert(place, helper.make_node("Gather", [chosen.input[0], "minus"], ["last"], axis=1))
    graph.node.remove(chosen)
    for node in reversed(lengths):
        graph.node.insert(0, node)
    new = {"position_ids", "seqlens_k", "total_sequence_length", "rows"}
    kept = [one for one in graph.input if one.name not in new]
    del graph.input[:]
    graph.input.extend([*kept, helper.make_tensor_value_info("attention_mask", onnx.TensorProto.INT64, ["b", "t"])])
    next(one for one in graph.output if one.name == "logits").type.tensor_type.shape.dim[1].dim_value = 1
    del model.metadata_props[:]
    return model


def mask_stepper(path: Path) -> Callable[[Sequence[int]], Logits]:
    """A graph of the builder's form, driven as before: a growing mask, a cache that comes back from every call."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    past = {
        one.name: np.zeros((1, one.shape[1], 0, HEAD_DIM), np.float32)
        for one in session.get_inputs()
        if one.name.startswith("past_key_values.")
    }

    def feed(ids: Sequence[int]) -> Logits:
        total = next(iter(past.values())).shape[2] + len(ids)
        given = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, total), np.int64), **past}
        found = dict(zip(names, session.run(None, given), strict=True))
        past.update({f"past_key_values.{n.removeprefix('present.')}": v for n, v in found.items() if n != "logits"})
        row: Logits = found["logits"][0, -1]
        return row

    return feed


@pytest.fixture(scope="module", params=["fp32", "int4-block32-attention8"])
def both(request: pytest.FixtureRequest, float_model: FloatModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A graph in the builder's form and in the device form, float and int4."""
    place = tmp_path_factory.mktemp(request.param)
    graph = method(request.param).quantize(float_model, None, place / "device.onnx")
    return save_graph(builder_form(load_graph(graph)), place / "builder.onnx"), graph


@given(texts=TEXTS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_forms_give_the_same_bits(both: tuple[Path, Path], texts: list[list[int]]) -> None:
    feed, row = mask_stepper(both[0]), open_row(both[1], CAPACITY)
    for ids in texts:
        assert np.array_equal(feed(ids), row.forward(ids)[-1])


def test_the_round_trip_is_the_device_form_again(both: tuple[Path, Path], tmp_path: Path) -> None:
    again = save_graph(to_device_form(load_graph(both[0]), HEAD_DIM), tmp_path / "again.onnx")
    rows = [open_row(graph, CAPACITY).forward([3, 60, 61, 1], rows=4) for graph in (again, both[1])]
    assert np.array_equal(rows[0], rows[1])
    nodes = [sorted(node.op_type for node in load_graph(graph).graph.node) for graph in (again, both[1])]
    assert nodes[0] == nodes[1]


def test_the_signature_is_the_contract(float_model: FloatModel) -> None:
    graph = load_graph(float_model.graph).graph
    text = {"input_ids", "position_ids", "seqlens_k", "total_sequence_length", "rows"}
    assert {one.name for one in graph.input if not one.name.startswith("past_key_values.")} == text
    assert [dim.dim_param or dim.dim_value for dim in graph.output[0].type.tensor_type.shape.dim][1:] == ["rows", 512]
    made = {name for node in graph.node for name in node.output}
    assert {one.name for one in graph.value_info} <= made
    assert {tensor.name for tensor in graph.initializer} <= {name for node in graph.node for name in node.input}
    said = {prop.key: prop.value for prop in load_graph(float_model.graph).metadata_props}
    assert {FORM_KEY: FORM, HEAD_DIM_KEY: "32", KV_KEY: "float32"}.items() <= said.items()


def test_positions_are_obeyed(float_model: FloatModel) -> None:
    session = DecoderGraph.load(float_model.graph).session
    empty = {one.name: np.zeros((1, 1, 0, HEAD_DIM), np.float32) for one in session.get_inputs() if "past" in one.name}
    ids = {"input_ids": np.array([[3, 60, 61]], np.int64), "rows": np.array([2], np.int64)}
    lengths = {"seqlens_k": np.array([2], np.int32), "total_sequence_length": np.array(3, np.int32)}

    def logits(start: int) -> Logits:
        positions = {"position_ids": np.arange(start, start + 3, dtype=np.int64)[None]}
        found: Logits = session.run(["present.0.key"], {**ids, **lengths, **positions, **empty})[0]
        return found

    assert np.abs(logits(0) - logits(7)).max() > 0.01


def test_hidden_states_are_the_input_of_the_head(float_model: FloatModel, tmp_path: Path) -> None:
    graph = save_graph(show_hidden_states(load_graph(float_model.graph)), tmp_path / "hidden.onnx")
    row, plain = open_row(graph, CAPACITY), open_row(float_model.graph, CAPACITY)
    logits = row.forward([3, 60, 61, 1], rows=3)
    assert np.array_equal(logits, plain.forward([3, 60, 61, 1], rows=3))
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in load_graph(graph).graph.initializer}
    assert row.hidden_states().shape == (3, 64)
    assert np.allclose(row.hidden_states() @ stored["lm_head.MatMul.weight"], logits, atol=1e-3)


def _without_attention(model: Any) -> None:
    for node in model.graph.node:
        node.op_type = "MultiHeadAttention" if node.op_type == "GroupQueryAttention" else node.op_type


def _rotated_outside(model: Any) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            attribute.i = 0 if attribute.name == "do_rotary" else attribute.i


def _short_cache(model: Any) -> None:
    node = next(node for node in model.graph.node if node.op_type == "GroupQueryAttention")
    node.attribute.append(onnx.helper.make_attribute("sliding_window_cache", 1))


def _no_cache(model: Any) -> None:
    next(node for node in model.graph.node if node.op_type == "GroupQueryAttention").input[3] = ""


def _all_rows(model: Any) -> None:
    head = next(node for node in model.graph.node if "logits" in node.output)
    head.input[0] = next(node for node in model.graph.node if node.op_type == "Gather" and "last" in node.output).input[
        0
    ]


def _scaled_head(model: Any) -> None:
    head = next(node for node in model.graph.node if "logits" in node.output)
    head.output[0] = "unscaled"
    model.graph.node.append(onnx.helper.make_node("Mul", ["unscaled", "unscaled"], ["logits"]))


def _masked_elsewhere(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Identity", ["attention_mask"], ["mask_again"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("mask_again", onnx.TensorProto.INT64, None))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_without_attention, "GroupQueryAttention"),
        (_rotated_outside, "do_rotary = 1"),
        (_short_cache, "cache of full length"),
        (_no_cache, "inputs 3 to 8"),
        (_all_rows, "Gather (axis 1) and Unsqueeze before the head"),
        (_scaled_head, "MatMul or MatMulNBits that gives logits"),
        (_masked_elsewhere, "attention_mask read for lengths only"),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_an_unknown_pattern_names_what_was_expected(
    both: tuple[Path, Path], change: Callable[[Any], None], expected: str
) -> None:
    model = load_graph(both[0])
    change(model)
    with pytest.raises(GraphUnfitError) as refused:
        to_device_form(model, HEAD_DIM)
    assert expected in refused.value.expected


def test_a_graph_that_has_the_form_is_not_rewritten_again(float_model: FloatModel) -> None:
    with pytest.raises(GraphUnfitError, match="positions already"):
        to_device_form(load_graph(float_model.graph), HEAD_DIM)
