"""The 4 GB phone profile: a repeated layer beside a real export, verdicts from made-up figures, real limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.edge_big import (
    FIRST_TOKENS,
    PACKED,
    PLAIN,
    held,
    pack,
    profile_of,
    read_memory,
    rows_of,
    run,
    take_turn,
)
from benchmarks.edge_big_gguf import BLOCK_BYTES, BLOCK_WEIGHTS, tensors_of
from benchmarks.edge_big_model import REPEATED, layer_of, make, write_repeated
from benchmarks.edge_big_rows import Held, memory_rows, packing_rows, speed_rows
from benchmarks.edge_models import SHAPES
from benchmarks.edge_peers import LLAMA, OURS, Subject, ours
from benchmarks.edge_peers_gguf import gguf_name
from benchmarks.edge_process import PeerError
from benchmarks.edge_rounds import Samples, in_turn
from benchmarks.report import Row
from cloud_worker.forge.export.graphs import graph_tensors, load_graph
from edgewise.graphs import DecoderGraph
from edgewise.wire.manifest import load_manifest

EXPORT = Path(__file__).parents[2] / "reference_models" / "edge"
"""An export of ours, with four layers."""
MANY = 6


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    make(EXPORT, folder, MANY)
    return folder


def quiet(what: str) -> None:
    """Tells nobody."""


def by_metric(rows: list[Row]) -> dict[str, Row]:
    return {row.metric.removeprefix("phone profile: "): row for row in rows}


def samples(first_ms: float, decode: float) -> Samples:
    found = Samples(decode=[decode], decode_cpu_ms=[1.0], prefill=[100.0])
    found.first_ms_by_tokens = {tokens: [first_ms] for tokens in FIRST_TOKENS}
    return found


# the model ------------------------------------------------------------------------------------------------------------


def test_two_layers_repeated_have_the_structure_of_an_export_with_four(tmp_path: Path) -> None:
    exported = load_graph(EXPORT / "model.onnx")
    write_repeated(load_graph(EXPORT / "model.onnx"), 2, tmp_path / "two.onnx")
    write_repeated(load_graph(tmp_path / "two.onnx"), 4, tmp_path / "four.onnx")
    made = load_graph(tmp_path / "four.onnx")
    for name in ("node", "input", "output", "value_info"):
        assert list(getattr(made.graph, name)) == list(getattr(exported.graph, name)), name
    assert [described(tensor) for tensor in made.graph.initializer] == [
        described(tensor) for tensor in exported.graph.initializer
    ]
    for model in (made, exported):
        model.ClearField("graph")
    assert made == exported  # versions, and what the graph says of itself


def test_what_is_repeated_has_weights_of_its_own(many: Path) -> None:
    stored = {tensor.name: tensor for tensor in load_graph(many / "model.onnx").graph.initializer}
    kept = {tensor.name: tensor for tensor in load_graph(EXPORT / "model.onnx").graph.initializer}
    for name in [name for name in stored if layer_of(name) == REPEATED]:
        alike = [stored[name.replace(".1.", f".{layer}.", 1)].raw_data for layer in range(REPEATED, MANY)]
        assert alike[0] == kept[name].raw_data
        weights = name.endswith(("_Q4", "_Q8", "_scales"))
        assert len(set(alike)) == (MANY - REPEATED if weights else 1), name
        if name.endswith("_scales"):
            assert len({tuple(sorted(raw[at : at + 4] for at in range(0, len(raw), 4))) for raw in alike}) == 1


def test_a_repeated_directory_is_a_model_of_ours(many: Path) -> None:
    manifest = load_manifest(many)
    assert manifest.tensors == graph_tensors(many / "model.onnx")
    assert json.loads((many / "config.json").read_text())["num_hidden_layers"] == MANY
    graph = DecoderGraph.load(many / "model.onnx")
    assert graph.shape.layers == MANY
    logits = graph.new_row(8).forward(range(3, 11))
    assert math.isfinite(float(logits.std())) and logits.std() > 0


def test_it_is_the_same_at_every_making(many: Path, tmp_path: Path) -> None:
    make(EXPORT, tmp_path, MANY)
    assert load_manifest(tmp_path).id == load_manifest(many).id


def test_a_single_layer_is_not_repeated(tmp_path: Path) -> None:
    model = load_graph(EXPORT / "model.onnx")
    kept = [node for node in model.graph.node if layer_of(node.name) in (None, 0)]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    with pytest.raises(ValueError, match="the model has 1"):
        write_repeated(model, 4, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["1.5b", "tiny"])
def test_the_file_for_llama_cpp_has_every_tensor_of_the_shape(name: str) -> None:
    shape = SHAPES[name]
    tensors = list(tensors_of(shape))
    matrices = [size for _, size in tensors if len(size) == 2]
    assert sum(rows * columns for rows, columns in matrices) == shape.parameters
    assert all(columns % BLOCK_WEIGHTS == 0 for _, columns in matrices) and BLOCK_BYTES == 2 + BLOCK_WEIGHTS // 2
    named = {gguf_name(name) for name, _ in tensors}
    assert len(named) == len(tensors) == 3 + 12 * shape.num_hidden_layers - 1
    assert {"token_embd.weight", "output_norm.weight", "blk.1.attn_q.bias", "blk.1.ffn_down.weight"} <= named


def described(tensor: Any) -> tuple[Any, ...]:
    return tensor.name, tensor.data_type, tuple(tensor.dims), len(tensor.raw_data)


# rows -----------------------------------------------------------------------------------------------------------------


def test_memory_is_held_to_the_profile(many: Path) -> None:
    profile = profile_of(many)
    room = profile.room_mb
    assert room == 2300.0
    cache = 512 * profile.kv_token_bytes / 1e6
    fits = Held(limit_mb=room, load_s=1.0, peak_mb=2300.0, rss_mb=900.0, anonymous_mb=127.0 + cache)
    large = Held(limit_mb=room, load_s=1.0, peak_mb=2301.0, rss_mb=900.0, anonymous_mb=129.0 + cache)
    for held_mb, expected in ((fits, True), (large, False)):
        rows = by_metric(memory_rows(profile, {PACKED: held_mb}, PACKED))
        assert [rows[name].holds for name in ("peak of the device", "activations, at most")] == [expected] * 2
        assert rows["cache of 512 tokens"].holds and "under RLIMIT_DATA of 2,300 MB" in rows["memory, RSS"].condition
        assert rows["memory, mapped from files"].ours == 900.0 - held_mb.anonymous_mb


def test_a_process_that_did_not_live_holds_no_row(many: Path) -> None:
    dead = Held(limit_mb=2300.0, reason="it ended: killed")
    rows = memory_rows(profile_of(many), {PACKED: dead, PLAIN: dead}, PACKED)
    told = [row for row in rows if row.reason]
    assert len(told) == 13 and all(row.holds is False and math.isnan(row.ours) for row in told)


def test_packing_is_held_to_what_a_phone_has(many: Path) -> None:
    profile = profile_of(many)
    assert [row.holds for row in packing_rows(profile, 2300.0, "")] == [True, True]
    assert [row.holds for row in packing_rows(profile, 2301.0, "")] == [False, True]
    assert packing_rows(profile, math.nan, "no copy")[0].reason == "no copy"


def test_speed_is_held_to_the_profile_and_shown_beside_llama_cpp(many: Path) -> None:
    mine, theirs = Subject(OURS, 2, ("true",)), Subject(LLAMA, 1, ("true",))
    found = {mine: samples(200.0, 20.0), theirs: samples(400.0, 10.0)}
    rows = speed_rows(profile_of(many), found, {}, {2: 1e9})
    held_rows = {row.metric.removeprefix("phone profile: "): row for row in rows if row.floor}
    assert {name: row.holds for name, row in held_rows.items()} == {"first token, 64": True, "decode": True}
    assert held_rows["decode"].limit and held_rows["decode"].limit > 20.0
    beside = {row.metric: row.ratio for row in rows if row.peer == LLAMA}
    assert beside["phone profile: decode"] == 2.0 and beside["phone profile: first token, 256"] == 0.5
    slow = speed_rows(profile_of(many), {mine: samples(201.0, 19.0)}, {LLAMA: "it cannot be built"}, {2: 1e9})
    assert [row.holds for row in slow if row.floor] == [False, False]
    assert all(row.holds is False and row.reason for row in slow if row.peer == LLAMA)


def test_ours_that_died_holds_no_speed(many: Path) -> None:
    lost = Samples(decode=[90.0], reason="it ended: killed")
    rows = speed_rows(profile_of(many), {Subject(OURS, 1, ("true",)): lost}, {}, {1: 1e9})
    assert all(row.holds is False and row.reason for row in rows)


# processes ------------------------------------------------------------------------------------------------------------


def test_an_engine_answers_within_its_limit_and_is_told_where_it_does_not(many: Path) -> None:
    fits = held(ours(many, 1, machine_dir=None), PLAIN, quiet, limit_mb=1000.0)
    assert not fits.reason and fits.peak_mb >= fits.rss_mb > fits.anonymous_mb > 0
    assert "memory" in held(ours(many, 1, machine_dir=None), PLAIN, quiet, limit_mb=64.0).reason.lower()


def test_a_turn_times_first_tokens_and_writing(many: Path) -> None:
    mine = ours(many, 1, machine_dir=None)
    found = in_turn([mine], 1, quiet, take_turn)[mine]
    assert tuple(found.first_ms_by_tokens) == FIRST_TOKENS
    assert all(len(values) == 1 and values[0] > 0 for values in found.first_ms_by_tokens.values())
    assert found.decode[0] > 0 and not found.first_ms


def test_a_copy_that_was_not_made_is_said(many: Path, tmp_path: Path) -> None:
    peak, reason = pack(many, tmp_path, quiet)  # so small a graph is packed at every load
    assert math.isnan(peak) and "no copy was made" in reason
    assert "ModelMissingError" in pack(tmp_path, tmp_path, quiet)[1]


def test_a_model_that_cannot_be_made_is_a_lost_row() -> None:
    def fails(*given: object) -> Any:
        raise PeerError("the download broke")

    (row,) = rows_of(fails, 1, quiet)
    assert row.holds is False and row.reason == "the download broke"
    bytes_per_s, (row,) = read_memory(quiet, fails)
    assert bytes_per_s == {} and row.holds is False and row.metric == "memory bandwidth"


@pytest.mark.soak
def test_the_whole_profile_alone(many: Path, tmp_path: Path) -> None:
    rows = by_metric(run(many, 1, quiet, peers=False, home=tmp_path))
    assert {"peak of the device", "packing the weights, peak RSS", "first token, 64", "decode"} <= set(rows)
    assert rows["decode"].holds and not list(tmp_path.iterdir())
