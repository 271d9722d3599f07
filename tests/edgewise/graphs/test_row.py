"""The bound buffers against a plain run: the same bits without any binding, at every length, and after rewinding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgewise.graphs import CacheRow, DecoderGraph, Logits, RowChoice
from edgewise.graphs.shape import HIDDEN_OUTPUT
from tests.edge_agent.runtime.drive import prompt_of

Calls = Sequence[tuple[int, ...]]
CALLS: Calls = [
    prompt_of(64),
    prompt_of(37, seed=2),
    *((token,) for token in prompt_of(20, seed=3)),
    prompt_of(5, seed=4),
    (9,),
]
TEXT = prompt_of(100, seed=6)


def plain_run(graph: DecoderGraph, calls: Calls) -> list[Logits]:
    """Every call with past in and present out as fresh arrays that are just as long as the text so far."""
    shape = graph.shape
    empty = np.zeros((1, shape.kv_heads, 0, shape.head_dim), shape.kv_dtype)
    past: dict[str, Any] = {f"past_key_values.{name}": empty for name in shape.cache_names}
    names = [node.name for node in graph.session.get_outputs()]
    seen, total = [], 0
    for ids in calls:
        positions = np.arange(total, total + len(ids), dtype=np.int64)[None]
        total += len(ids)
        feed = {
            "input_ids": np.array([ids], np.int64),
            "position_ids": positions,
            "seqlens_k": np.array([total - 1], np.int32),
            "total_sequence_length": np.array(total, np.int32),
            "rows": np.array([len(ids) - 1], np.int64),
        }
        result = dict(zip(names, graph.session.run(None, feed | past), strict=True))
        past = {f"past_key_values.{name}": result[f"present.{name}"] for name in shape.cache_names}
        seen.append(result["logits"][0, -1])
    return seen


def bound_run(row: CacheRow, calls: Calls) -> list[Logits]:
    return [row.forward(ids)[-1].copy() for ids in calls]


def same_bits(left: list[Logits], right: list[Logits]) -> bool:
    return [logits.tobytes() for logits in left] == [logits.tobytes() for logits in right]


@pytest.mark.parametrize("capacity", [127, 128, 512])
def test_bound_buffers_of_any_size_give_the_bits_of_a_plain_run(graph: DecoderGraph, capacity: int) -> None:
    assert same_bits(bound_run(graph.new_row(capacity), CALLS), plain_run(graph, CALLS))


def test_rewinding_forgets_and_later_rows_do_not_leak(graph: DecoderGraph) -> None:
    row = graph.new_row(256)
    first = bound_run(row, CALLS)
    row.rewind(64)
    assert same_bits(bound_run(row, CALLS[1:]), first[1:])


def test_two_rows_on_one_graph_do_not_disturb_each_other(graph: DecoderGraph) -> None:
    rows = [graph.new_row(256), graph.new_row(256)]
    alone = bound_run(graph.new_row(256), CALLS)
    both = [[row.forward(ids)[-1].copy() for row in rows] for ids in CALLS]
    assert same_bits([left for left, _ in both], alone) and same_bits([right for _, right in both], alone)


@settings(max_examples=25, deadline=None)
@example([8, 41])
@example([33, 98])
@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_rows_of_calls_of_two_and_more_do_not_depend_on_the_split(graph: DecoderGraph, cuts: list[int]) -> None:
    """A token that would be computed alone gets company; then no row can tell which tokens came with it."""
    whole = graph.new_row(128).forward(TEXT, rows=len(TEXT)).copy()
    row, seen = graph.new_row(128), []
    bounds = sorted({0, *cuts, len(TEXT)})
    for start, stop in itertools.pairwise(bounds):
        seen.append(row.forward(TEXT[start:stop], rows=stop - start, many=True).copy())
    assert np.concatenate(seen).tobytes() == whole.tobytes()


def test_padding_at_the_very_end_has_room(graph: DecoderGraph) -> None:
    row = graph.new_row(8)
    row.forward(TEXT[:7], many=True)
    padded = row.forward(TEXT[7:8], many=True).copy()
    assert row.length == 8
    assert padded.tobytes() == graph.new_row(8).forward(TEXT[:8], many=True).tobytes()


def test_copied_rows_are_as_good_as_computed_ones(graph: DecoderGraph) -> None:
    first = graph.new_row(128)
    bound_run(first, [TEXT])
    copied = first.read(0, 40)
    assert copied.shape == (2 * graph.shape.layers, graph.shape.kv_heads, 40, graph.shape.head_dim)
    second = graph.new_row(128)
    second.write(0, copied[:, :, :16])
    second.write(16, copied[:, :, 16:])
    assert second.length == 40
    first.rewind(40)
    assert same_bits(bound_run(second, [TEXT[40:]]), bound_run(first, [TEXT[40:]]))


def test_writing_what_does_not_fit_is_refused_and_changes_nothing(graph: DecoderGraph) -> None:
    row = graph.new_row(16)
    row.forward(TEXT[:4])
    rows = row.read(0, 4)
    wrong = [(5, rows), (4, rows[1:]), (4, rows.astype(np.float64)), (4, np.repeat(rows, 4, axis=2)), (0, rows[0])]
    for start, kv in wrong:
        with pytest.raises(ValueError, match="fit"):
            row.write(start, kv)
    with pytest.raises(ValueError, match="read"):
        row.read(0, 5)
    assert row.length == 4
    assert row.read(0, 4).tobytes() == rows.tobytes()


def test_hidden_states_come_with_the_logits(tiny_dir: Path) -> None:
    graph = DecoderGraph.load(tiny_dir / "model.onnx")
    row = graph.new_row(128)
    with pytest.raises(ValueError, match="hidden"):
        row.hidden_states()
    row.forward(TEXT[:8], rows=3)
    assert row.hidden_states().shape == (3, graph.shape.hidden) and np.any(row.hidden_states())
    assert HIDDEN_OUTPUT in {node.name for node in graph.session.get_outputs()}


@pytest.mark.parametrize("rows", [0, 3])
def test_more_rows_than_tokens_are_refused(graph: DecoderGraph, rows: int) -> None:
    with pytest.raises(ValueError, match="rows"):
        graph.new_row(16).forward((3, 4), rows=rows)


@pytest.mark.parametrize("ids", [(), prompt_of(33)], ids=["none", "too-many"])
def test_a_call_that_does_not_fit_is_refused_and_changes_nothing(graph: DecoderGraph, ids: tuple[int, ...]) -> None:
    row = graph.new_row(32)
    with pytest.raises(ValueError, match="do not fit"):
        row.forward(ids)
    assert row.length == 0


@pytest.mark.parametrize("length", [-1, 4])
def test_rewinding_beyond_what_is_there_is_refused(graph: DecoderGraph, length: int) -> None:
    row = graph.new_row(32)
    row.forward((3, 4, 5))
    with pytest.raises(ValueError, match="rewind"):
        row.rewind(length)


def after_dropping(graph: DecoderGraph, ids: tuple[int, ...], rows: RowChoice, then: tuple[int, ...]) -> Logits:
    """Logits of `then` after `ids` of which only `rows` are seen, by a plain run: nothing bound, nothing in place."""
    shape, held = graph.shape, rows.shape[-1]
    whole = graph.new_row(128)
    whole.forward(ids, many=True)
    choice = np.broadcast_to(rows, (shape.layers, shape.kv_heads, held))
    planes = whole.read(0, len(ids))
    kept = [planes[at][np.arange(shape.kv_heads)[:, None], choice[at // 2]] for at in range(len(planes))]
    feed = {
        "input_ids": np.array([then], np.int64),
        "position_ids": np.arange(len(ids), len(ids) + len(then), dtype=np.int64)[None],
        "seqlens_k": np.array([held + len(then) - 1], np.int32),
        "total_sequence_length": np.array(held + len(then), np.int32),
        "rows": np.array([len(then) - 2, len(then) - 1], np.int64),
    }
    past = {f"past_key_values.{name}": plane[None] for name, plane in zip(shape.cache_names, kept, strict=True)}
    logits: Logits = graph.session.run(["logits"], feed | past)[0][0]
    return logits


def each_head_its_own(graph: DecoderGraph) -> RowChoice:
    heads = (graph.shape.layers, graph.shape.kv_heads, 60)
    shuffled = np.random.default_rng(3).permuted(np.broadcast_to(np.arange(60), heads), axis=2)
    return np.sort(shuffled[:, :, :30], axis=2)


@pytest.mark.parametrize(
    "choose", [lambda graph: np.r_[0:4, 20:60], each_head_its_own], ids=["every-head-the-same", "each-head-its-own"]
)
def test_after_dropping_rows_the_others_are_seen_where_they_stood(
    graph: DecoderGraph, choose: Callable[[DecoderGraph], RowChoice]
) -> None:
    ids, then, rows = TEXT[:60], TEXT[60:66], choose(graph)
    row = graph.new_row(64)
    row.forward(ids, many=True)
    row.keep(rows)
    assert (row.length, row.held, row.whole) == (60, rows.shape[-1], False)
    got = row.forward(then, rows=2, many=True).copy()
    assert got.tobytes() == after_dropping(graph, ids, rows, then).tobytes()
    assert (row.length, row.held) == (66, rows.shape[-1] + 6)
    row.rewind(62)
    again = row.forward(then[2:], rows=2, many=True)
    assert again.tobytes() == got.tobytes()


def test_keeping_all_rows_changes_nothing(graph: DecoderGraph) -> None:
    row, other = graph.new_row(128), graph.new_row(128)
    for each in (row, other):
        each.forward(TEXT[:60], many=True)
    row.keep(np.arange(60))
    assert row.whole and row.read(0, 60).tobytes() == other.read(0, 60).tobytes()
    assert same_bits(bound_run(row, [TEXT[60:90], (5,)]), bound_run(other, [TEXT[60:90], (5,)]))


def test_what_was_dropped_is_gone_until_the_beginning(graph: DecoderGraph) -> None:
    row = graph.new_row(64)
    row.forward(TEXT[:60])
    copied = row.read(0, 60)
    row.keep(np.arange(30, 60))
    for refused in (lambda: row.read(0, 10), lambda: row.write(60, copied[:, :, :4]), lambda: row.rewind(59)):
        with pytest.raises(ValueError, match=r"cannot|fit"):
            refused()
    with pytest.raises(ValueError, match="do not fit"):
        row.forward(TEXT[:35])
    row.rewind(60)
    row.rewind(0)
    assert (row.length, row.held, row.whole) == (0, 0, True)
    assert same_bits(bound_run(row, [TEXT[:60]]), bound_run(graph.new_row(64), [TEXT[:60]]))


@pytest.mark.parametrize(
    "rows",
    [np.arange(0), np.r_[3, 3], np.r_[5, 4], np.r_[-1, 4], np.r_[4, 60], np.ones(2), np.zeros((3, 2, 1), np.int64)],
    ids=["none", "twice", "backwards", "negative", "not-held", "no-integers", "other-heads"],
)
def test_only_places_that_are_held_can_be_kept(graph: DecoderGraph, rows: RowChoice) -> None:
    row = graph.new_row(64)
    row.forward(TEXT[:60])
    with pytest.raises(ValueError, match="places"):
        row.keep(rows)
    assert row.held == 60


def test_keys_are_those_of_the_rows(graph: DecoderGraph) -> None:
    row = graph.new_row(64)
    row.forward(TEXT[:60])
    assert row.keys(10, 20).tobytes() == row.read(10, 20)[::2].tobytes()
    with pytest.raises(ValueError, match="rows"):
        row.keys(10, 61)


def test_memory_is_counted_by_the_most_rows_that_were_in_use(graph: DecoderGraph) -> None:
    row = graph.new_row(64)
    row.forward(TEXT[:60])
    row.rewind(0)
    row.forward(TEXT[:10])
    assert row.touched_bytes == 60 * graph.shape.kv_bytes_per_token <= row.kv_bytes


def test_padding_beyond_the_models_context_stands_where_the_last_token_stands(tiny_dir: Path) -> None:
    """The graph's table of positions ends at its context; rows that were dropped leave room in the cache, not in it."""
    graph = DecoderGraph.load(tiny_dir / "model.onnx")
    row, paired = graph.new_row(512), graph.new_row(512)
    for each in (row, paired):
        each.forward(prompt_of(510), many=True)
        each.keep(np.arange(400, 510))
    row.forward((7,), many=True)
    alone = row.forward((8,), many=True).copy()
    assert alone.tobytes() == paired.forward((7, 8), many=True).tobytes()


def test_calls_of_all_shapes_share_one_buffer_of_logits(graph: DecoderGraph) -> None:
    row = graph.new_row(64)
    one = row.forward(TEXT[:8])
    four = row.forward(TEXT[8:12], rows=4).copy()
    again = row.forward(TEXT[12:14], rows=2)
    assert np.shares_memory(again, row.forward(TEXT[14:15])) and not np.shares_memory(one, again)
    row.rewind(8)
    assert row.forward(TEXT[8:12], rows=4).tobytes() == four.tobytes()
