"""The ONNX engine on a real graph: exact resume, prefix reuse, fairness, refusals, and errors with names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.numerics import Numerics
from edgewise.generation.state import GenerationState, Message
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.graphs import CacheRow, DecoderGraph, KvRows, Logits
from edgewise.wire.errors import (
    EdgewiseError,
    MessageTooLongError,
    TierError,
    TierRefusedError,
    UnsupportedParameterError,
)
from edgewise.wire.manifest import Manifest
from tests.edge_agent.runtime.drive import answer, ids_of, prompt_of, run_all, state

EXACT = [Numerics.ONE_ROW, Numerics.MANY_ROW]


@pytest.fixture
def engine(tiny_graph: DecoderGraph, tiny_manifest: Manifest) -> OnnxEngine:
    return OnnxEngine(tiny_manifest, tiny_graph, EngineOptions(slots=2, max_queue=3))


@pytest.fixture(scope="module")
def tiny_graph(tiny_dir: Path) -> DecoderGraph:
    return DecoderGraph.load(tiny_dir / "model.onnx")


@pytest.mark.parametrize("numerics", EXACT)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_resumed_answer_is_the_undisturbed_one_wherever_it_is_cut(
    tiny_graph: DecoderGraph, tiny_manifest: Manifest, temperature: float, numerics: Numerics
) -> None:
    engine = OnnxEngine(tiny_manifest, tiny_graph, EngineOptions(numerics=numerics))
    whole = answer(engine, state(temperature=temperature, max_tokens=40))
    assert len(whole) == 40 and len(set(whole)) > 5
    for cut in range(len(whole) + 1):
        fresh = prompt_of(70)
        resumed = state(fresh, temperature=temperature, max_tokens=40, output_ids=whole[:cut])
        assert answer(engine, resumed) == whole, f"cut at {cut}"


def test_a_fresh_engine_resumes_exactly_too(tiny_dir: Path, engine: OnnxEngine) -> None:
    whole = answer(engine, state(130, max_tokens=30))
    other = OnnxEngine.load(tiny_dir)
    assert other.numerics_id == engine.numerics_id
    assert answer(other, state(130, max_tokens=30, output_ids=whole[:17])) == whole


@pytest.mark.parametrize("numerics", EXACT)
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_reference_model_resumes_exactly(temperature: float, numerics: Numerics) -> None:
    options = EngineOptions(numerics=numerics)
    directory = Path(__file__).parents[3] / "reference_models" / "edge"
    ids = ChatTokenizer.load(directory).encode_chat([Message("user", "What is the capital of France? 你好")])
    given = state(ids * 4, max_tokens=30, temperature=temperature)
    whole = answer(OnnxEngine.load(directory, options), given)
    engine = OnnxEngine.load(directory, options)
    for cut in range(0, 30, 7):
        assert answer(engine, msgspec.structs.replace(given, output_ids=whole[:cut])) == whole


def test_answers_do_not_depend_on_the_company_they_run_in(engine: OnnxEngine) -> None:
    given = {f"a{n}": state(prompt_of(30 + 45 * n, seed=n), seed=n, max_tokens=20) for n in range(5)}
    alone = {name: answer(engine, one) for name, one in given.items()}
    for name in ("a0", "a1", "a2"):
        engine.submit(name, given[name])
    early = engine.step()
    for name in ("a3", "a4"):
        engine.submit(name, given[name])
    together = run_all(engine)
    for output in reversed(early):
        together[output.attempt].insert(0, output)
    assert {name: ids_of(outputs) for name, outputs in together.items()} == alone


@pytest.mark.parametrize(("numerics", "reused"), [(Numerics.ONE_ROW, 200), (Numerics.MANY_ROW, 223)])
def test_the_next_turn_reuses_what_has_the_bits_of_a_prompt_and_says_the_same(
    tiny_dir: Path, numerics: Numerics, reused: int
) -> None:
    options = EngineOptions(numerics=numerics)
    engine, first = OnnxEngine.load(tiny_dir, options), prompt_of(200)
    said = answer(engine, state(first))
    second = first + said + prompt_of(20, seed=9)
    warm = answer(engine, state(second))
    assert engine.reused_tokens == reused
    assert engine.stats().prompt_tokens == 200 + len(second) - reused
    assert warm == answer(OnnxEngine.load(tiny_dir, options), state(second))


@pytest.mark.parametrize(("prompt", "reused"), [(2, 1), (64, 63), (65, 64), (129, 128)])
def test_the_last_token_is_always_read_again_for_its_logits(engine: OnnxEngine, prompt: int, reused: int) -> None:
    first = answer(engine, state(prompt, max_tokens=4))
    assert answer(engine, state(prompt, max_tokens=4)) == first
    assert engine.reused_tokens == reused


def test_owners_reuse_nothing_of_each_other_and_say_the_same(engine: OnnxEngine) -> None:
    reused, said = [], set()
    for salt in (b"one", b"two", b"", b"one", b"two", b""):
        before = engine.reused_tokens
        said.add(answer(engine, state(100, salt=salt)))
        reused.append(engine.reused_tokens - before)
    assert reused == [0, 0, 0, 99, 99, 99] and len(said) == 1


def test_a_prompt_that_was_cancelled_in_mid_prefill_leaves_only_what_was_read(engine: OnnxEngine) -> None:
    engine.submit("gone", state(300))
    engine.step()
    engine.step()
    engine.cancel("gone")
    engine.check_integrity()
    assert engine.stats().running == 0 and run_all(engine) == {}
    assert len(answer(engine, state(300, max_tokens=3))) == 3
    assert engine.reused_tokens == 128


def test_cancel_frees_the_row_and_forgets_the_queue(engine: OnnxEngine) -> None:
    for name in ("a", "b", "c"):
        engine.submit(name, state())
    engine.step()
    engine.cancel("c")
    engine.cancel("a")
    engine.cancel("never heard of")
    assert set(run_all(engine)) == {"b"}


def test_a_long_prompt_does_not_hold_up_running_answers(engine: OnnxEngine) -> None:
    engine.submit("short", state(10, max_tokens=30))
    engine.step()
    engine.submit("long", state(400, max_tokens=2))
    steps = [{output.attempt for output in engine.step()} for _ in range(6)]
    assert all("short" in step for step in steps) and not any("long" in step for step in steps)


def test_end_of_sequence_is_a_finish_and_no_token(engine: OnnxEngine) -> None:
    whole = answer(engine, state(temperature=0.0, max_tokens=12))
    engine.submit("x", state(temperature=0.0, max_tokens=12, eos_ids=(whole[4],)))
    outputs = run_all(engine)["x"]
    first = whole.index(whole[4])
    assert ids_of(outputs) == whole[:first]
    assert outputs[-1].finish == "stop" and outputs[-1].ids == ()


def test_the_budget_ends_an_answer_with_its_last_token(engine: OnnxEngine) -> None:
    engine.submit("x", state(max_tokens=3))
    outputs = run_all(engine)["x"]
    assert [(len(output.ids), output.finish) for output in outputs] == [(1, None), (1, None), (1, "length")]


def test_an_answer_that_has_nothing_left_ends_at_once(engine: OnnxEngine) -> None:
    engine.submit("x", state(max_tokens=2, output_ids=(5, 6)))
    assert [(output.ids, output.finish) for output in run_all(engine)["x"]] == [((), "length")]


@pytest.mark.parametrize("numerics", list(Numerics))
def test_a_full_context_ends_the_answer_by_length(
    tiny_graph: DecoderGraph, tiny_manifest: Manifest, numerics: Numerics
) -> None:
    engine = OnnxEngine(tiny_manifest, tiny_graph, EngineOptions(context_tokens=80, numerics=numerics))
    engine.submit("x", state(prompt_of(7) * 10, max_tokens=500, temperature=0.0))
    outputs = run_all(engine)["x"]
    assert len(ids_of(outputs)) == 10 and outputs[-1].finish == "length"
    full = state(prompt_of(7) * 10, max_tokens=500, output_ids=ids_of(outputs))
    assert answer(engine, full) == full.output_ids


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (state(513), MessageTooLongError),
        (state(()), MessageTooLongError),
        (state(grammar="root ::= x"), UnsupportedParameterError),
        (state((1, 259)), UnsupportedParameterError),
        (state((1, -1)), UnsupportedParameterError),
        (state(output_ids=(10_000,)), UnsupportedParameterError),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    engine: OnnxEngine, given: GenerationState, error: type[EdgewiseError]
) -> None:
    with pytest.raises(error) as raised:
        engine.submit("x", given)
    assert raised.value.expected and raised.value.remedy
    assert engine.stats().queued == 0


def test_a_full_queue_refuses_and_says_when_to_come_back(engine: OnnxEngine) -> None:
    for name in "abc":
        engine.submit(name, state())
    with pytest.raises(TierRefusedError) as raised:
        engine.submit("d", state())
    assert raised.value.retry_after_s


def test_stats_count_tokens_speed_and_cache(tiny_dir: Path, tiny_manifest: Manifest) -> None:
    ticks = iter(range(1000))
    graph = DecoderGraph.load(tiny_dir / "model.onnx")
    engine = OnnxEngine(tiny_manifest, graph, EngineOptions(slots=1), lambda: float(next(ticks)))
    assert engine.stats().kv_bytes == 0
    engine.submit("a", state(70, max_tokens=8))
    last = run_all(engine)["a"][-1]
    stats = engine.stats()
    assert (stats.prompt_tokens, stats.output_tokens, stats.slots) == (70, 8, 1)
    assert stats.tokens_per_s == 1.0
    # key and value · layers · kv heads · width · float32 · tokens that were read: the last one is not
    assert stats.kv_bytes == last.kv_bytes == 2 * 2 * 2 * 16 * 4 * 77


class RecordingGraph(DecoderGraph):
    """Its rows write down every call: how many ids were fed, and the bits of the logits that came back."""

    def new_row(self, capacity: int) -> CacheRow:
        row = RecordingRow(self.session, self.shape, capacity)
        row.calls = self.calls
        return row

    @property
    def calls(self) -> list[tuple[int, bytes]]:
        calls: list[tuple[int, bytes]] = self.__dict__.setdefault("_recorded", [])
        return calls


class RecordingRow(CacheRow):
    calls: list[tuple[int, bytes]]

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        logits = super().forward(ids, rows, many=many)
        self.calls.append((len(ids), logits.tobytes()))
        return logits


def test_a_resumed_answer_makes_the_same_calls_with_the_same_bits(tiny_dir: Path, tiny_manifest: Manifest) -> None:
    graph = RecordingGraph.load(tiny_dir / "model.onnx")
    assert isinstance(graph, RecordingGraph)
    whole = answer(OnnxEngine(tiny_manifest, graph), state(100, max_tokens=40))
    undisturbed = list(graph.calls)
    assert [fed for fed, _ in undisturbed[:3]] == [64, 36, 1]
    for cut in (0, 1, 15, 16, 17, 33, 39):
        graph.calls.clear()
        answer(OnnxEngine(tiny_manifest, graph), state(100, max_tokens=40, output_ids=whole[:cut]))
        assert graph.calls == undisturbed, f"cut at {cut}"


class FaultyRow(CacheRow):
    """Fails as a broken kernel would whenever it is fed `poison`."""

    poison = 77

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        if self.poison in ids:
            raise RuntimeError("kernel fault")
        return super().forward(ids, rows, many=many)


class FaultyGraph(DecoderGraph):
    def new_row(self, capacity: int) -> CacheRow:
        return FaultyRow(self.session, self.shape, capacity)


class FailingOnce:
    """Raises when its turn comes, and never again."""

    def __init__(self) -> None:
        self.calls_until = -1

    def call(self) -> None:
        self.calls_until -= 1
        if self.calls_until == 0:
            raise MemoryError("no memory for that")


class ScarceRow(CacheRow):
    failing: FailingOnce

    def read(self, start: int, stop: int) -> KvRows:
        self.failing.call()
        return super().read(start, stop)

    def write(self, start: int, kv: KvRows) -> None:
        self.failing.call()
        super().write(start, kv)


class ScarceGraph(DecoderGraph):
    """Making, copying and filling of rows can fail for want of memory."""

    failing: FailingOnce

    def new_row(self, capacity: int) -> CacheRow:
        self.failing.call()
        row = ScarceRow(self.session, self.shape, capacity)
        row.failing = self.failing
        return row


@pytest.mark.parametrize("calls", range(1, 8))
def test_a_sequence_that_cannot_begin_ends_alone_and_leaves_its_row(
    tiny_dir: Path, tiny_manifest: Manifest, calls: int
) -> None:
    """Readings of the memory, and rows made, copied and filled, fail one after the other."""
    graph, failing = ScarceGraph.load(tiny_dir / "model.onnx"), FailingOnce()
    assert isinstance(graph, ScarceGraph)
    graph.failing = failing

    def available() -> int:
        failing.call()
        return 1 << 30

    engine = OnnxEngine(tiny_manifest, graph, EngineOptions(slots=2, memory_reserve_bytes=0), available=available)
    asked = [state(prompt_of(70, seed=seed), max_tokens=3) for seed in range(3)]
    expected = [answer(engine, one) for one in asked]
    engine.submit("good", state(prompt_of(40, seed=9), max_tokens=20))
    begun = ids_of(engine.step())
    engine.submit("bad", asked[0])
    engine.submit("next", asked[1])
    failing.calls_until = calls
    seen = run_all(engine)
    assert failing.calls_until <= 0, "nothing failed"
    assert len(begun + ids_of(seen["good"])) == 20
    errors = {name: outputs[-1].error for name, outputs in seen.items() if outputs[-1].error}
    (error,) = errors.values()
    assert error.message == "The edge engine failed on this answer: no memory for that"
    assert "good" not in errors
    assert not any(slot.busy for slot in engine._slots._slots), "a row was lost"
    assert [answer(engine, one) for one in asked] == expected


@pytest.mark.parametrize("where", ["prompt", "replay"])
def test_a_broken_sequence_ends_alone(tiny_dir: Path, tiny_manifest: Manifest, where: str) -> None:
    engine = OnnxEngine(tiny_manifest, FaultyGraph.load(tiny_dir / "model.onnx"))
    engine.submit("good", state((5, 6, 7), max_tokens=3))
    engine.submit("bad", state((5, 77), max_tokens=3) if where == "prompt" else state((5, 6), output_ids=(8, 77)))
    seen = run_all(engine)
    (error,) = [output.error for output in seen["bad"]]
    assert isinstance(error, TierError) and error.message == "The edge engine failed on this answer: kernel fault"
    assert error.remedy and error.retryable
    assert len(ids_of(seen["good"])) == 3
