"""The bound buffers against a plain run: the same bits without any binding, at every length, and after rewinding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.runtime.session import CacheRow, Logits, OnnxGraph, kernel_id
from tests.edge_agent.runtime.drive import prompt_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=["tiny", "reference"])
def graph(request: pytest.FixtureRequest, tiny_dir: Path) -> OnnxGraph:
    directory = tiny_dir if request.param == "tiny" else ROOT / "reference_models" / "edge"
    return OnnxGraph(directory / "model.onnx")


def plain_run(graph: OnnxGraph, calls: list[tuple[int, ...]]) -> list[Logits]:
    """Every call with past in and present out as fresh arrays, and a mask as long as the text so far."""
    shape = graph.shape
    empty = np.zeros((1, shape.kv_heads, 0, shape.head_dim), shape.kv_dtype)
    past = {f"past_key_values.{layer}.{part}": empty for layer in range(shape.layers) for part in ("key", "value")}
    names = [node.name for node in graph.session.get_outputs()]
    seen, total = [], 0
    for ids in calls:
        total += len(ids)
        feed = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, total), np.int64), **past}
        result = dict(zip(names, graph.session.run(None, feed), strict=True))
        past = {f"past_key_values.{name.removeprefix('present.')}": result[name] for name in names if name != "logits"}
        seen.append(result["logits"][0, -1])
    return seen


def bound_run(row: CacheRow, calls: list[tuple[int, ...]]) -> list[Logits]:
    return [row.forward(ids).copy() for ids in calls]


def same_bits(left: list[Logits], right: list[Logits]) -> bool:
    return [logits.tobytes() for logits in left] == [logits.tobytes() for logits in right]


CALLS = [
    prompt_of(64),
    prompt_of(37, seed=2),
    *((token,) for token in prompt_of(20, seed=3)),
    prompt_of(5, seed=4),
    (9,),
]


@pytest.mark.parametrize("capacity", [127, 128, 512])
def test_bound_buffers_of_any_size_give_the_bits_of_a_plain_run(graph: OnnxGraph, capacity: int) -> None:
    assert same_bits(bound_run(graph.new_row(capacity), CALLS), plain_run(graph, CALLS))


def test_rewinding_forgets_and_later_rows_do_not_leak(graph: OnnxGraph) -> None:
    row = graph.new_row(256)
    first = bound_run(row, CALLS)
    row.rewind(64)
    assert same_bits(bound_run(row, CALLS[1:]), first[1:])


def test_two_rows_on_one_graph_do_not_disturb_each_other(graph: OnnxGraph) -> None:
    rows = [graph.new_row(256), graph.new_row(256)]
    alone = bound_run(graph.new_row(256), CALLS)
    both = [[row.forward(ids).copy() for row in rows] for ids in CALLS]
    assert same_bits([left for left, _ in both], alone) and same_bits([right for _, right in both], alone)


@pytest.mark.parametrize("ids", [(), prompt_of(33)])
def test_a_call_that_does_not_fit_is_refused_and_changes_nothing(graph: OnnxGraph, ids: tuple[int, ...]) -> None:
    row = graph.new_row(32)
    with pytest.raises(ValueError, match="do not fit"):
        row.forward(ids)
    assert row.length == 0


@pytest.mark.parametrize("length", [-1, 4])
def test_rewinding_beyond_what_is_there_is_refused(graph: OnnxGraph, length: int) -> None:
    row = graph.new_row(32)
    row.forward((3, 4, 5))
    with pytest.raises(ValueError, match="rewind"):
        row.rewind(length)


def test_the_kernel_id_names_version_provider_and_extensions(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags : fpu avx2 avx512_vnni nonsense")
    assert kernel_id(tmp_path / "cpuinfo").endswith("[avx2,avx512_vnni]")
    assert kernel_id(tmp_path / "none").endswith("[]") and "CPUExecutionProvider" in kernel_id(tmp_path / "none")
