"""Adapters on real graphs: what they add is what the formula says, none adds nothing, and rows never mix two."""

from __future__ import annotations

import contextlib
import re
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.graphs import Adapter, AdapterShape, DecoderGraph
from edgewise.graphs.adapter import ADAPTER_KEY, RANK_TILE, Site
from edgewise.graphs.adapter_file import (
    AdapterFile,
    AdapterHeader,
    AdapterUnfitError,
    Matrices,
    read_adapter,
    write_adapter,
)
from edgewise.wire.errors import ManifestError
from tests.edge_agent.tiny_model import LAYERS, write_tiny_model
from tests.factories.adapters import random_matrices

RANK = 8
IDS = [(7 + 31 * place) % 250 for place in range(40)]


@pytest.fixture(scope="module")
def with_inputs(tmp_path_factory: pytest.TempPathFactory) -> DecoderGraph:
    folder = tmp_path_factory.mktemp("adapted")
    write_tiny_model(folder, adapter_rank=RANK)
    return DecoderGraph.load(folder / "model.onnx")


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> DecoderGraph:
    folder = tmp_path_factory.mktemp("bare")
    write_tiny_model(folder)
    return DecoderGraph.load(folder / "model.onnx")


def fitted(graph: DecoderGraph, matrices: Matrices, digest: str = "d") -> Adapter:
    file = AdapterFile(AdapterHeader("base", "tiny", ()), matrices, digest)
    return Adapter.fit(file, graph.shape.adapter, graph.shape.layers)


def logits_of(graph: DecoderGraph, adapter: Adapter | None = None) -> np.ndarray:
    """Of a prompt's tokens, and of three that are fed alone."""
    row = graph.new_row(64)
    if adapter is not None:
        row.use(adapter)
    rows = [row.forward(IDS, rows=len(IDS), many=True).copy()]
    rows += [row.forward((token,)).copy() for token in (9, 8, 7)]
    return np.concatenate(rows)


def test_no_adapter_and_an_adapter_of_zeros_change_no_bit(with_inputs: DecoderGraph, without: DecoderGraph) -> None:
    bare = logits_of(without)
    assert np.array_equal(logits_of(with_inputs), bare)
    assert np.array_equal(logits_of(with_inputs, fitted(with_inputs, random_matrices(1, strength=0.0))), bare)
    assert np.array_equal(logits_of(with_inputs, fitted(with_inputs, {})), bare)


def test_an_adapter_changes_what_is_said_and_another_one_changes_it_otherwise(with_inputs: DecoderGraph) -> None:
    seen = [logits_of(with_inputs, fitted(with_inputs, random_matrices(seed))).tobytes() for seed in (1, 2)]
    assert len({*seen, logits_of(with_inputs).tobytes()}) == 3


@pytest.mark.parametrize("module", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
def test_every_module_is_wired(with_inputs: DecoderGraph, module: str) -> None:
    one = fitted(with_inputs, random_matrices(3, modules=(module,)))
    assert not np.array_equal(logits_of(with_inputs, one), logits_of(with_inputs))


def test_a_larger_rank_of_zeros_and_the_sum_of_two_halves_are_the_same_adapter(with_inputs: DecoderGraph) -> None:
    """(x [a1 a2]) [b1; b2] = (x a1) b1 + (x a2) b2, and columns of zeros add nothing."""
    small = random_matrices(4, rank=3)
    padded = {
        name: np.pad(values, ((0, 0), (0, 4)) if name.endswith(".a") else ((0, 4), (0, 0)))
        for name, values in small.items()
    }
    expected = logits_of(with_inputs, fitted(with_inputs, small))
    assert np.array_equal(logits_of(with_inputs, fitted(with_inputs, padded)), expected)


def test_rows_in_company_keep_their_bits_under_an_adapter(with_inputs: DecoderGraph) -> None:
    adapter = fitted(with_inputs, random_matrices(5))
    seen = set()
    for split in ((40,), (1, 39), (17, 23), (2,) * 20):
        row = with_inputs.new_row(64)
        row.use(adapter)
        place = 0
        for count in split:
            last = row.forward(IDS[place : place + count], many=True).tobytes()
            place += count
        seen.add(last + row.read(0, 40).tobytes())
    assert len(seen) == 1


def test_a_row_that_holds_tokens_takes_no_other_adapter(with_inputs: DecoderGraph, without: DecoderGraph) -> None:
    first, second = (fitted(with_inputs, random_matrices(seed), str(seed)) for seed in (1, 2))
    row = with_inputs.new_row(64)
    row.use(first)
    row.forward(IDS, many=True)  # the same call is made again below: its bindings must not be the old ones
    row.use(first)
    with pytest.raises(ValueError, match="another adapter"):
        row.use(second)
    row.rewind(0)
    row.use(second)
    assert np.array_equal(row.forward(IDS, many=True)[0], logits_of(with_inputs, second)[len(IDS) - 1])
    with pytest.raises(ValueError, match="another graph"):
        without.new_row(8).use(first)


def test_sites_join_their_modules_with_ranks_of_their_own(with_inputs: DecoderGraph) -> None:
    shape = with_inputs.shape.adapter
    assert shape is not None and shape.rank == RANK
    assert set(shape.sites) == {"qkv_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    mixed = random_matrices(6, rank=3, modules=("q_proj",)) | random_matrices(7, rank=2, modules=("v_proj",))
    values = fitted(with_inputs, mixed).values
    a, b = values["adapter.0.qkv_proj.a"], values["adapter.0.qkv_proj.b"]
    assert a.shape == (64, RANK_TILE) and b.shape == (RANK_TILE, 128)
    assert np.array_equal(a[:, 3:5], mixed["0.v_proj.a"]) and np.array_equal(b[3:5, 96:], mixed["0.v_proj.b"])
    assert not b[:3, 64:].any() and not b[3:, :96].any() and not a[:, 5:].any()
    assert values["adapter.1.o_proj.a"].shape == (64, 0)


def test_what_the_graph_has_no_place_for_is_refused(with_inputs: DecoderGraph, without: DecoderGraph) -> None:
    good = random_matrices(8, modules=("o_proj",))
    wide = random_matrices(8, rank=RANK + 1, modules=("o_proj",))
    other = {f"0.o_proj.{part}": np.zeros(shape, np.float32) for part, shape in (("a", (60, 2)), ("b", (2, 64)))}
    for graph, matrices, said in (
        (without, good, "no inputs for adapters"),
        (with_inputs, {f"9{name}": values for name, values in good.items()}, "it adapts"),
        (with_inputs, {name.replace("o_proj", "lm_head"): values for name, values in good.items()}, "it adapts"),
        (with_inputs, wide, "r at most 8"),
        (with_inputs, other, r"a \[64, r\]"),
        (with_inputs, {"0.o_proj.a": good["0.o_proj.a"]}, "only one of its two"),
    ):
        with pytest.raises(AdapterUnfitError) as refused:
            fitted(graph, matrices)
        assert re.search(said, f"{refused.value.message}; {refused.value.expected}")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_shapes_in_a_whole_file_cost_more_than_the_file(with_inputs: DecoderGraph, data: st.DataObject) -> None:
    """The checksum is right, shapes and names are anybody's: no more memory than a rank that fits takes."""
    long, wide = (100_000, 1), (1, 100_000)
    shapes = st.sampled_from([wide, long, (64, RANK), (RANK, 64), (RANK, 32), (64, 1000), (2, 3), (1, 1)])
    matrices = {
        f"0.{module}.{part}": np.zeros(data.draw(shapes), np.float32)
        for module in data.draw(st.lists(st.sampled_from(["q_proj", "v_proj", "o_proj", "x"]), min_size=1, unique=True))
        for part in "ab"
        if data.draw(st.integers(0, 9)) != 5
    }
    with tempfile.TemporaryDirectory() as made:
        path = Path(made, "hostile.adapter")
        write_adapter(path, base="b", base_name="tiny", matrices=matrices)
        file = read_adapter(path)
    tracemalloc.start()
    try:
        with contextlib.suppress(AdapterUnfitError):
            Adapter.fit(file, with_inputs.shape.adapter, LAYERS)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_it_takes_stands_in_the_graph_and_lies_are_refused(with_inputs: DecoderGraph, tmp_path: Path) -> None:
    shape = with_inputs.shape.adapter
    assert shape is not None and AdapterShape.read(shape.said()) == shape
    lies = [
        "{}",
        "[",
        AdapterShape(RANK, {}).said(),
        AdapterShape(RANK, shape.sites | {"x_proj": Site(64, (("x_proj", 64),))}).said(),
        AdapterShape(RANK, shape.sites | {"o_proj": Site(32, (("o_proj", 64),))}).said(),
    ]
    for number, lie in enumerate(lies):
        model = onnx.load(with_inputs.path)
        next(prop for prop in model.metadata_props if prop.key == ADAPTER_KEY).value = lie
        onnx.save(model, tmp_path / f"{number}.onnx")
        with pytest.raises(ManifestError, match="cannot be run here"):
            DecoderGraph.load(tmp_path / f"{number}.onnx")


def test_the_noise_for_trying_kernels_has_the_full_rank_and_little_memory(with_inputs: DecoderGraph) -> None:
    shape = with_inputs.shape.adapter
    assert shape is not None
    noise = Adapter.sample(shape, LAYERS)
    assert noise.values["adapter.1.qkv_proj.a"].shape == (64, 3 * RANK)
    assert noise.values["adapter.1.qkv_proj.a"] is noise.values["adapter.0.qkv_proj.a"]
    assert noise.size_bytes < sum(array.nbytes for array in noise.values.values())
