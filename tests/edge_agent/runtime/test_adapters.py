"""Adapters under the real engine: who gets which, what is refused while the old one serves, no row of another."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.runtime import OnnxEngine, self_check
from edge_agent.runtime.adapters import VERSION_MARK, Adapters
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.kv_disk import DiskOptions
from edge_agent.runtime.numerics import Numerics
from edgewise.generation.state import GenerationState
from edgewise.graphs import Adapter, CacheRow, DecoderGraph, Logits
from edgewise.graphs.adapter_file import (
    AdapterBaseError,
    AdapterFileError,
    AdapterUnfitError,
    read_adapter,
    write_adapter,
)
from edgewise.wire.errors import EdgewiseError, TierRefusedError, UnknownModelError
from edgewise.wire.manifest import Manifest, load_manifest
from tests.edge_agent.runtime.drive import answer, ids_of, prompt_of, run_all, state
from tests.edge_agent.tiny_model import write_tiny_model
from tests.factories.adapters import write_random_adapter

PROMPT = prompt_of(100)
TINY = 1e-6


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes adapters, and two of them."""
    folder = tmp_path_factory.mktemp("adapted")
    manifest = write_tiny_model(folder / "model", adapter_rank=8)
    for seed, name in enumerate(("poet", "clerk")):
        write_random_adapter(folder / f"{name}.adapter", manifest, seed, strength=0.5)
    return folder


@pytest.fixture(scope="module")
def manifest(home: Path) -> Manifest:
    return load_manifest(home / "model")


@pytest.fixture(scope="module")
def graph(home: Path) -> DecoderGraph:
    return DecoderGraph.load(home / "model" / "model.onnx")


@pytest.fixture
def engine(home: Path, manifest: Manifest, graph: DecoderGraph) -> OnnxEngine:
    return OnnxEngine(manifest, graph, EngineOptions(slots=2, adapters=files(home)))


def files(home: Path) -> dict[str, Path]:
    return {name: home / f"{name}.adapter" for name in ("poet", "clerk")}


def put(engine: OnnxEngine, name: str, path: Path) -> None:
    """As a running agent exchanges an adapter."""
    engine.put_adapter(name, engine.adapters.read(name, path))


def under(name: str, *, prompt: tuple[int, ...] = PROMPT, **more: object) -> GenerationState:
    """A greedy state under an adapter; "" is the bare model."""
    asked = f"tiny-edge:{name}" if name else "tiny-edge"
    return msgspec.structs.replace(state(prompt, temperature=0.0), model=asked, **more)


def test_the_name_decides_and_each_says_something_else(engine: OnnxEngine) -> None:
    said = [answer(engine, under(name)) for name in ("", "poet", "clerk")]
    assert len(set(said)) == 3
    assert [answer(engine, under(name)) for name in ("", "poet", "clerk")] == said
    assert answer(engine, msgspec.structs.replace(under(""), model="edgewise")) == said[0]


def test_sequences_under_different_adapters_run_side_by_side(home: Path, engine: OnnxEngine) -> None:
    alone = {name: answer(engine, under(name)) for name in ("poet", "clerk", "")}
    fresh = OnnxEngine.load(home / "model", EngineOptions(slots=3, adapters=files(home)))
    for name in alone:
        fresh.submit(name or "bare", under(name))
    together = {name: ids_of(outputs) for name, outputs in run_all(fresh).items()}
    assert together == {name or "bare": said for name, said in alone.items()}


def test_loading_another_adapter_in_mid_answer_leaves_it_as_it_was_and_changes_the_next(
    home: Path, engine: OnnxEngine
) -> None:
    whole, other = answer(engine, under("poet")), answer(engine, under("clerk"))
    engine.submit("first", under("poet"))
    begun = [output for _ in range(8) for output in engine.step()]
    assert 0 < len(ids_of(begun)) < len(whole)
    put(engine, "poet", home / "clerk.adapter")
    engine.submit("second", under("poet"))
    rest = run_all(engine)
    assert ids_of(begun) + ids_of(rest["first"]) == whole
    assert ids_of(rest["second"]) == other


def test_unloading_in_mid_answer_drops_no_token_and_frees_the_rows_after_it(engine: OnnxEngine) -> None:
    whole = answer(engine, under("poet"))
    engine.submit("first", under("poet"))
    begun = [output for _ in range(8) for output in engine.step()]
    assert 0 < len(ids_of(begun)) < len(whole)
    engine.put_adapter("poet", None)
    assert ids_of(begun) + ids_of(run_all(engine)["first"]) == whole
    with pytest.raises(UnknownModelError, match="no adapter 'poet'"):
        engine.submit("second", under("poet"))
    assert engine.stats().kv_bytes == 0


def test_unloading_frees_what_idle_rows_hold(home: Path, engine: OnnxEngine) -> None:
    answer(engine, under("poet"))
    answer(engine, under(""))
    held = engine.stats().kv_bytes
    engine.put_adapter("poet", None)
    assert 0 < engine.stats().kv_bytes < held
    engine.put_adapter("poet", None)
    put(engine, "poet", home / "poet.adapter")
    assert len(answer(engine, under("poet"))) == 24


def test_replacing_frees_the_one_before_with_its_idle_rows(home: Path, engine: OnnxEngine) -> None:
    answer(engine, under("poet"))
    answer(engine, under(""))
    held, gone = engine.stats().kv_bytes, weakref.ref(engine.adapters.read("poet", home / "poet.adapter"))
    put(engine, "poet", home / "clerk.adapter")
    assert 0 < engine.stats().kv_bytes < held
    gc.collect()
    assert gone() is None


def test_one_file_is_one_adapter_under_every_name_and_at_every_reading(home: Path, engine: OnnxEngine) -> None:
    poet = engine.adapters.read("poet", home / "poet.adapter")
    put(engine, "bard", home / "poet.adapter")
    answer(engine, under("poet"))
    put(engine, "poet", home / "clerk.adapter")
    assert engine.adapters.read("x", home / "poet.adapter") is poet
    before = engine.reused_tokens
    answer(engine, under("bard"))
    assert engine.reused_tokens - before == 99, "its rows were kept: it has another name"
    engine.submit("runs", under("bard"))
    engine.step()
    engine.put_adapter("bard", None)
    put(engine, "bard", home / "poet.adapter")  # read anew, while an answer runs on the one before
    del poet
    run_all(engine)
    assert not engine.adapters.forgot(engine.adapters.read("bard", home / "poet.adapter"))
    again = engine.adapters.read("bard", home / "poet.adapter")
    answer(engine, under("bard"))
    assert len([one for one in gc.get_objects() if type(one) is Adapter and one.digest == again.digest]) == 1


def test_exchanges_from_many_threads_lose_no_name(home: Path, engine: OnnxEngine) -> None:
    adapter = engine.adapters.read("poet", home / "poet.adapter")
    names = [f"name-{number}" for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: engine.adapters.put(name, adapter), names))
    assert set(names) <= set(engine.adapters.versions)


def test_files_that_changed_are_found_and_bad_ones_keep_what_was(
    home: Path, engine: OnnxEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken").write_bytes(b"no adapter")
    assert engine.adapters.changed(files(home)) == {}
    found = engine.adapters.changed({"poet": home / "clerk.adapter", "clerk": tmp_path / "broken"})
    assert list(found) == ["poet"] and found["poet"] is engine.adapters.read("clerk", home / "clerk.adapter")
    assert caplog.text.count("is not exchanged") == 1 and set(engine.adapters.versions) == {"poet", "clerk"}


class _Starved(Adapters):
    def read(self, name: str, path: Path) -> Adapter:
        raise MemoryError


def test_want_of_memory_for_an_adapter_is_told(
    home: Path, manifest: Manifest, graph: DecoderGraph, caplog: pytest.LogCaptureFixture
) -> None:
    starved = _Starved(manifest, graph)
    starved.load_all(files(home))
    assert starved.versions == {} and starved.changed(files(home)) == {}
    assert caplog.text.count("there is no memory for it") == 4


@pytest.mark.parametrize("numerics", [Numerics.ONE_ROW, Numerics.MANY_ROW])
def test_an_answer_resumes_exactly_under_its_adapter(home: Path, numerics: Numerics) -> None:
    options = EngineOptions(numerics=numerics, adapters=files(home))
    engine = OnnxEngine.load(home / "model", options)
    version = engine.adapters.versions["poet"]
    whole = answer(engine, under("poet"))
    for cut in (1, 9, 23):
        fresh = OnnxEngine.load(home / "model", options)
        assert answer(fresh, under("poet", output_ids=whole[:cut], model_version=version)) == whole
        # What the name means by now does not matter, nor that there was none.
        assert answer(fresh, under("clerk", output_ids=whole[:cut], model_version=version)) == whole
        assert answer(fresh, under("", output_ids=whole[:cut], model_version=version)) == whole


def test_an_answer_that_began_without_an_adapter_goes_on_without_one(engine: OnnxEngine, manifest: Manifest) -> None:
    whole = answer(engine, under(""))
    assert answer(engine, under("poet", output_ids=whole[:7], model_version=manifest.id)) == whole


def test_an_answer_whose_adapter_is_gone_is_refused_and_not_continued_in_another_voice(
    home: Path, engine: OnnxEngine
) -> None:
    version = engine.adapters.versions["poet"]
    put(engine, "poet", home / "clerk.adapter")
    with pytest.raises(TierRefusedError, match="begun under the adapter"):
        engine.submit("x", under("poet", output_ids=(5, 6), model_version=version))
    elsewhere = f"{'f' * 64}{VERSION_MARK}{'0' * 16}"  # begun by another model: a hand-off as any other
    assert len(answer(engine, under("clerk", output_ids=(5, 6), model_version=elsewhere))) == 24


def test_an_adapter_that_is_gone_while_its_request_waits_is_told(home: Path, manifest: Manifest) -> None:
    engine = OnnxEngine.load(home / "model", EngineOptions(slots=1, adapters=files(home)))
    engine.submit("runs", under(""))
    engine.submit("waits", under("poet"))
    engine.step()
    engine.put_adapter("poet", None)
    outputs = run_all(engine)
    assert len(ids_of(outputs["runs"])) >= 20
    (told,) = outputs["waits"]
    assert isinstance(told.error, EdgewiseError) and "no adapter 'poet'" in str(told.error)


def test_contexts_of_another_adapter_are_never_reused(engine: OnnxEngine) -> None:
    answer(engine, under("poet"))
    for name, reused in (("", 0), ("clerk", 0), ("poet", 99), ("clerk", 99), ("", 99)):
        before = engine.reused_tokens
        answer(engine, under(name))
        assert engine.reused_tokens - before == reused, name


def test_a_row_that_grows_keeps_its_adapter(home: Path) -> None:
    options = EngineOptions(slots=1, adapters=files(home))
    engine, longer = OnnxEngine.load(home / "model", options), PROMPT + prompt_of(250, seed=9)
    answer(engine, under("poet"))
    grown = answer(engine, under("poet", prompt=longer))
    assert engine.reused_tokens == 100
    assert grown == answer(OnnxEngine.load(home / "model", options), under("poet", prompt=longer))


def test_contexts_on_disk_are_kept_apart_too(home: Path, manifest: Manifest, tmp_path: Path) -> None:
    options = EngineOptions(adapters=files(home), saved=DiskOptions(tmp_path / "kv", 64 << 20))
    first = OnnxEngine.load(home / "model", options)
    said = answer(first, under("poet"))
    while first.idle_work() == 0:
        pass
    assert any((tmp_path / "kv").iterdir())
    after = OnnxEngine.load(home / "model", options)
    assert answer(after, under("clerk")) != said and after.reused_tokens == 0
    assert answer(after, under("poet")) == said and after.reused_tokens == 96


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(["", "poet", "clerk"]), min_size=2, max_size=6), data=st.data())
def test_whatever_came_before_an_answer_is_that_of_its_adapter_alone(
    home: Path, manifest: Manifest, graph: DecoderGraph, names: list[str], data: st.DataObject
) -> None:
    """Shared beginnings of every length, two rows and contexts in memory: the text never tells who was there before."""
    options = EngineOptions(slots=2, adapters=files(home), numerics=Numerics.MANY_ROW)
    engine = OnnxEngine(manifest, graph, options)
    for number, name in enumerate(names):
        prompt = PROMPT[: data.draw(st.integers(1, len(PROMPT)))] + prompt_of(3, seed=number)
        given_state = msgspec.structs.replace(under(name, prompt=prompt), max_tokens=4)
        alone = OnnxEngine(manifest, graph, options)
        assert answer(engine, given_state) == answer(alone, given_state)


def test_an_adapter_of_another_base_is_refused_and_the_old_one_serves(
    home: Path, engine: OnnxEngine, manifest: Manifest, tmp_path: Path
) -> None:
    said = answer(engine, under("poet"))
    other = msgspec.structs.replace(manifest, recipe="another one")
    write_random_adapter(tmp_path / "other.adapter", other, 3)
    with pytest.raises(AdapterBaseError, match="made for tiny-edge, version") as refused:
        put(engine, "poet", tmp_path / "other.adapter")
    assert manifest.id[:12] in refused.value.expected and "edgewise model adapter" in refused.value.remedy
    write_random_adapter(tmp_path / "wide.adapter", manifest, 3, rank=9)
    with pytest.raises(AdapterUnfitError, match="does not fit"):
        put(engine, "poet", tmp_path / "wide.adapter")
    assert answer(engine, under("poet")) == said


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_and_the_old_one_serves(engine: OnnxEngine, home: Path, data: st.DataObject) -> None:
    raw = bytearray((home / "clerk.adapter").read_bytes())
    if data.draw(st.booleans(), label="cut"):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = home / "damaged"
    damaged.write_bytes(raw)
    versions = engine.adapters.versions
    with pytest.raises(AdapterFileError):
        put(engine, "poet", damaged)
    assert engine.adapters.versions == versions


def test_a_model_serves_without_an_adapter_that_cannot_be_loaded(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken").write_bytes(b"no adapter")
    manifest = load_manifest(home / "model")
    huge = {"0.o_proj.a": np.zeros((1, 4 << 20), np.float32), "0.o_proj.b": np.zeros((4 << 20, 1), np.float32)}
    write_adapter(tmp_path / "huge", base=manifest.id, base_name=manifest.name, matrices=huge)
    files = {name: tmp_path / name for name in ("broken", "none", "huge")}
    engine = OnnxEngine.load(home / "model", EngineOptions(adapters={"poet": home / "poet.adapter", **files}))
    assert set(engine.adapters.versions) == {"poet"}
    assert caplog.text.count("is not served") == 3
    write_tiny_model(tmp_path / "bare")
    bare = OnnxEngine.load(tmp_path / "bare", EngineOptions(adapters={"poet": home / "poet.adapter"}))
    assert bare.adapters.versions == {} and len(answer(bare, state())) == 24


def test_versions_name_base_and_file(home: Path, engine: OnnxEngine, manifest: Manifest) -> None:
    digest = read_adapter(home / "poet.adapter").digest
    assert engine.adapters.versions["poet"] == f"{manifest.id}+{digest[:16]}"


class _CountingRow(CacheRow):
    """Under an adapter, its bits tell how many tokens a call had."""

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        return super().forward(ids, rows, many=many) + TINY * len(ids) * bool(self.adapter.digest)


class _CountingGraph(DecoderGraph):
    def new_row(self, capacity: int) -> CacheRow:
        return _CountingRow(self.session, self.shape, capacity, self.bare)


def test_the_self_check_tries_the_kernels_of_adapters_too(graph: DecoderGraph) -> None:
    assert self_check.holds(graph, 512)
    assert not self_check.holds(_CountingGraph(graph.session, graph.path, graph.settings), 512)
