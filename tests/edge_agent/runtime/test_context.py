"""Which rows stay: the policy against a naive one, and answers that drop rows on the way and are resumed exactly."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.export.int8_cache import to_int8_cache
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.context import ContextMode, ContextPolicy, lowest_norms, make_room
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.numerics import Numerics
from edgewise.generation.state import GenerationState
from edgewise.graphs import CacheRow, DecoderGraph, Logits, RowChoice
from edgewise.wire.errors import MessageTooLongError
from edgewise.wire.manifest import Manifest
from tests.edge_agent.runtime.drive import answer, prompt_of, run_all, state

POLICY = ContextPolicy(full=64, window_to=160, sinks=4, keys=16, every=16)
WINDOWED = EngineOptions(context=ContextMode.WINDOWED, context_policy=POLICY)
EXACT = [Numerics.ONE_ROW, Numerics.MANY_ROW]


@pytest.fixture(scope="module")
def graph(tiny_dir: Path) -> DecoderGraph:
    return DecoderGraph.load(tiny_dir / "model.onnx")


@st.composite
def policies(draw: st.DrawFn) -> ContextPolicy:
    sinks, keys, window, every = (draw(st.integers(least, 9)) for least in (0, 0, 1, 1))
    full = sinks + keys + window + every
    return ContextPolicy(full=full, window_to=full + draw(st.integers(0, 40)), sinks=sinks, keys=keys, every=every)


def held_after(policy: ContextPolicy, tokens: int, norms: list[int]) -> list[int]:
    """Which tokens have rows after `tokens`, told one token at a time from the words of the policy."""
    held = list[int]()
    for token in range(tokens):
        if token >= policy.full and (token - policy.full) % policy.every == 0:
            keys = policy.keys if token >= policy.window_to else 0
            newest = held[len(held) - (policy.full - policy.every - policy.sinks - keys) :]
            older = [each for each in held[policy.sinks :] if each not in newest]
            chosen = sorted(older, key=lambda each: (norms[each], each))[:keys]
            held = held[: policy.sinks] + sorted(chosen) + newest
        held.append(token)
    return held


@given(policies(), st.integers(1, 120), st.randoms(use_true_random=False))
def test_rows_are_those_of_the_naive_policy_and_never_more_than_full(
    policy: ContextPolicy, tokens: int, numbers: Any
) -> None:
    norms = [numbers.randrange(5) for _ in range(tokens)]
    held = np.arange(0)
    for token in range(tokens):
        if policy.is_place(token):

            def read_keys(start: int, stop: int, held: RowChoice = held) -> Any:
                return np.array([norms[each] for each in held[start:stop]], np.float32)[None, None, :, None]

            rows = policy.stays(token, read_keys)
            assert rows.shape[-1] == policy.kept
            held = held[rows.reshape(-1)]
        held = np.append(held, token)
        assert len(held) <= policy.full
    assert held.tolist() == held_after(policy, tokens, norms)


@given(policies(), st.integers(0, 200))
def test_the_place_after_is_the_next_one(policy: ContextPolicy, tokens: int) -> None:
    place = policy.place_after(tokens)
    assert place > tokens and policy.is_place(place)
    assert not any(policy.is_place(between) for between in range(tokens + 1, place))


def test_each_head_keeps_its_own_and_the_older_of_equals() -> None:
    keys = np.array([[[3.0, 1.0, 2.0], [2.0, 2.0, 1.0]]], np.float32)[..., None]
    assert lowest_norms(keys, 2).tolist() == [[[1, 2], [0, 2]]]
    assert lowest_norms(-keys, 2).tolist() == lowest_norms(keys, 2).tolist()


@pytest.mark.parametrize(
    "sizes",
    [
        {"full": 8, "sinks": 4, "keys": 2, "every": 2},
        {"sinks": -1},
        {"keys": -1},
        {"every": 0},
        {"window_to": 100},
    ],
    ids=["no-window", "sinks", "keys", "every", "window-to"],
)
def test_sizes_that_leave_no_window_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(ContextPolicy(), **sizes)


@pytest.mark.parametrize(("context", "full", "window_to"), [(32768, 512, 2048), (4096, 512, 2048), (1024, 256, 512)])
def test_sizes_follow_the_models_context(context: int, full: int, window_to: int) -> None:
    policy = ContextPolicy.scaled(context)
    assert policy is not None and (policy.full, policy.window_to) == (full, window_to)
    assert ContextPolicy.scaled(128) is None


def read_in(row: CacheRow, ids: tuple[int, ...], cuts: list[int]) -> bytes:
    """Read `ids` in calls that end at these cuts and at the policy's places; the bits of the last logits and rows."""
    bounds = sorted({0, len(ids), *cuts, *(place for place in range(len(ids)) if POLICY.is_place(place))})
    for start, stop in itertools.pairwise(bounds):
        for _ in range(2):  # what is dropped at a place is dropped once
            make_room(row, POLICY)
        logits = row.forward(ids[start:stop], many=True)
    return logits.tobytes() + row.keys(0, row.held).tobytes()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 299), max_size=12))
def test_what_is_dropped_does_not_depend_on_the_calls(graph: DecoderGraph, cuts: list[int]) -> None:
    ids = prompt_of(300)
    assert read_in(graph.new_row(64), ids, cuts) == read_in(graph.new_row(64), ids, [])


@pytest.mark.parametrize("numerics", EXACT)
@pytest.mark.parametrize("prompt", [30, 150])
def test_a_resumed_answer_drops_the_same_rows_wherever_it_is_cut(
    graph: DecoderGraph, tiny_manifest: Manifest, numerics: Numerics, prompt: int
) -> None:
    engine = OnnxEngine(tiny_manifest, graph, replace(WINDOWED, numerics=numerics))
    whole = answer(engine, state(prompt, max_tokens=90))
    assert len(whole) == 90
    assert whole != answer(OnnxEngine(tiny_manifest, graph), state(prompt, max_tokens=90))
    for cut in range(0, 90, 7):
        fresh = OnnxEngine(tiny_manifest, graph, replace(WINDOWED, numerics=numerics))
        assert answer(fresh, state(prompt, max_tokens=90, output_ids=whole[:cut])) == whole, f"cut at {cut}"


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_drafts_change_nothing_where_rows_are_dropped(
    graph: DecoderGraph, tiny_manifest: Manifest, temperature: float
) -> None:
    drafting = OnnxEngine(tiny_manifest, graph, replace(WINDOWED, numerics=Numerics.MANY_ROW))
    plain = OnnxEngine(tiny_manifest, graph, replace(WINDOWED, numerics=Numerics.MANY_ROW, speculation=False))
    given = state(prompt_of(12) * 8, max_tokens=150, temperature=temperature)
    assert answer(drafting, given) == answer(plain, given)
    assert drafting.stats().drafted > 0


def test_a_text_that_keeps_its_rows_is_answered_as_without_a_policy(
    graph: DecoderGraph, tiny_manifest: Manifest
) -> None:
    windowed, full = OnnxEngine(tiny_manifest, graph, WINDOWED), OnnxEngine(tiny_manifest, graph)
    assert answer(windowed, state(40, max_tokens=24)) == answer(full, state(40, max_tokens=24))


class RecordingRow(CacheRow):
    bounds: list[tuple[int, int]]

    def forward(self, ids: Any, rows: int = 1, *, many: bool = False) -> Logits:
        self.bounds.append((self.length, self.length + len(ids)))
        return super().forward(ids, rows, many=many)


class RecordingGraph(DecoderGraph):
    bounds: list[tuple[int, int]]

    def new_row(self, capacity: int) -> CacheRow:
        row = RecordingRow(self.session, self.shape, capacity)
        row.bounds = self.bounds
        return row


def test_no_call_crosses_a_place(tiny_dir: Path, tiny_manifest: Manifest) -> None:
    graph = RecordingGraph.load(tiny_dir / "model.onnx")
    assert isinstance(graph, RecordingGraph)
    graph.bounds = []
    engine = OnnxEngine(tiny_manifest, graph, replace(WINDOWED, numerics=Numerics.MANY_ROW))
    answer(engine, state(prompt_of(10) * 9, max_tokens=120, temperature=0.0))
    assert max(stop - start for start, stop in graph.bounds) > 1
    assert all(stop <= POLICY.place_after(start) for start, stop in graph.bounds)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(policies(), st.integers(1, 60), st.sampled_from(EXACT), st.integers(1, 9), st.integers(0, 8))
def test_a_prompt_of_exactly_the_context_is_read_whatever_the_sizes(
    graph: DecoderGraph,
    tiny_manifest: Manifest,
    policy: ContextPolicy,
    beyond: int,
    numerics: Numerics,
    chunk: int,
    output: int,
) -> None:
    """The last call may have an odd count of tokens, and begin where rows go."""
    context = policy.full + beyond
    options = replace(WINDOWED, context_policy=policy, context_tokens=context, numerics=numerics)
    given = state(context, max_tokens=9)
    expected = answer(OnnxEngine(tiny_manifest, graph, options), given)
    assert len(expected) == 1
    assert answer(OnnxEngine(tiny_manifest, graph, replace(options, chunk=chunk)), given) == expected
    shorter = state(context - min(output, context - 1), max_tokens=9)
    engine = OnnxEngine(tiny_manifest, graph, options)
    whole = answer(engine, shorter)
    assert answer(engine, replace_output(shorter, whole[:-1])) == whole


def replace_output(given: GenerationState, output_ids: tuple[int, ...]) -> GenerationState:
    return msgspec.structs.replace(given, output_ids=output_ids)


def test_a_cache_of_codes_keeps_no_keys_and_says_so(
    tiny_dir: Path, tiny_manifest: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    peaks = np.full((4, 2, 16), 4.0, np.float32)
    place = save_graph(to_int8_cache(load_graph(tiny_dir / "model.onnx"), peaks), tmp_path / "int8.onnx")
    engine = OnnxEngine(tiny_manifest, DecoderGraph.load(place), WINDOWED)
    assert engine.numerics_id.endswith("/windowed-64-160-4-0-16")
    assert caplog.text.count("keep no key tokens") == 1
    assert len(answer(engine, state(200, max_tokens=20))) == 20
    caplog.clear()
    OnnxEngine(tiny_manifest, DecoderGraph.load(place))
    OnnxEngine(tiny_manifest, DecoderGraph.load(tiny_dir / "model.onnx"), WINDOWED)
    assert "key tokens" not in caplog.text


def test_memory_is_the_policys_and_the_context_the_models(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    engine = OnnxEngine(tiny_manifest, graph, replace(WINDOWED, slots=1))
    assert len(answer(engine, state(500, max_tokens=40))) == 12
    assert engine.stats().kv_bytes == 64 * graph.shape.kv_bytes_per_token
    with pytest.raises(MessageTooLongError) as raised:
        engine.submit("x", state(513))
    assert "1 to 512 tokens" in raised.value.expected


def test_rows_that_others_took_the_place_of_are_never_offered(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    engine = OnnxEngine(tiny_manifest, graph, replace(WINDOWED, slots=2))
    long = prompt_of(100)
    first = answer(engine, state(long))
    engine.submit("running", state(long, max_tokens=30))
    for _ in range(8):
        engine.step()
    assert engine.stats().running == 1 and engine.reused_tokens == 0
    assert answer(engine, state(long)) == first
    run_all(engine)
    assert engine.reused_tokens == 0


def test_a_running_answer_no_longer_offers_what_it_dropped(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    engine = OnnxEngine(tiny_manifest, graph, replace(WINDOWED, slots=2))
    opening = prompt_of(50)
    answer(engine, state(opening, max_tokens=4))
    engine.submit("running", state(opening + prompt_of(60, seed=2), max_tokens=30))
    for _ in range(6):
        engine.step()
    assert engine.reused_tokens == 50 and not engine._running["running"].sequence.row.whole
    answer(engine, state((*opening, 5)))
    assert engine.reused_tokens == 50


def test_the_beginning_of_a_text_that_was_short_enough_is_reused(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    engine, cold = (OnnxEngine(tiny_manifest, graph, WINDOWED) for _ in range(2))
    answer(engine, state(50, max_tokens=4))
    longer = state(prompt_of(50) + prompt_of(100, seed=2))
    assert answer(engine, longer) == answer(cold, longer)
    assert engine.reused_tokens == 50


def test_the_numerics_id_names_the_policy_where_one_can_act(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    plain = OnnxEngine(tiny_manifest, graph).numerics_id
    assert OnnxEngine(tiny_manifest, graph, WINDOWED).numerics_id == f"{plain}/{POLICY.name}"
    scaled = OnnxEngine(tiny_manifest, graph, EngineOptions(context=ContextMode.WINDOWED)).numerics_id
    assert scaled == f"{plain}/windowed-128-256-4-32-16"
    short = EngineOptions(context=ContextMode.WINDOWED, context_tokens=60, context_policy=POLICY)
    assert OnnxEngine(tiny_manifest, graph, short).numerics_id == plain


@pytest.mark.parametrize("numerics", list(Numerics))
def test_a_prompt_that_fills_the_context_can_be_asked_again(
    graph: DecoderGraph, tiny_manifest: Manifest, numerics: Numerics
) -> None:
    """Its last token alone is read again, and there is no position for a padding after it."""
    engine = OnnxEngine(tiny_manifest, graph, EngineOptions(numerics=numerics))
    first = answer(engine, state(512, max_tokens=4))
    assert len(first) == 1 and answer(engine, state(512, max_tokens=4)) == first
    assert engine.reused_tokens == 511
