"""A cache of int8: a quarter of the bytes, near the float one, the same bits however a text is cut; never unscaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.export.int8_cache import cache_peaks, strange_texts, to_int8_cache
from cloud_worker.forge.quantize.divergence import divergence, forced_rows
from cloud_worker.forge.quantize.methods.base import FloatModel
from cloud_worker.forge.stepping import open_row
from edgewise.graphs import DecoderGraph
from tests.cloud_worker.forge.quantize.test_methods import ROWS


@pytest.fixture(scope="module")
def int8(float_model: FloatModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float graph with a cache of int8, its scales from strange text."""
    peaks = cache_peaks(float_model.graph, strange_texts(512, 64))
    place = tmp_path_factory.mktemp("int8") / "int8.onnx"
    return save_graph(to_int8_cache(load_graph(float_model.graph), peaks), place)


def test_peaks_are_the_largest_values_of_the_cache(float_model: FloatModel) -> None:
    texts = [[3, 60, 61], [5, 90, 17, 200]]
    seen = []
    for ids in texts:
        row = open_row(float_model.graph, 8)
        row.forward(ids)
        seen.append(np.abs(row.read(0, len(ids))))
    peaks = cache_peaks(float_model.graph, texts)
    assert peaks.shape == (4, 1, 32)
    assert np.array_equal(peaks, np.concatenate(seen, axis=2).max(axis=2))
    with pytest.raises(ValueError, match="no rows"):
        cache_peaks(float_model.graph, [[]])


def test_the_cache_is_a_quarter_and_near_the_float_one(float_model: FloatModel, int8: Path) -> None:
    shape, floats = DecoderGraph.load(int8).shape, DecoderGraph.load(float_model.graph).shape
    assert (shape.kv_dtype, 4 * shape.kv_bytes_per_token) == (np.int8, floats.kv_bytes_per_token)
    rows = [list(forced_rows(open_row(graph, 32), ROWS)) for graph in (float_model.graph, int8)]
    far = divergence(ROWS, *rows)
    assert far.agreement > 0.9
    assert 0 < far.kl < 0.01


@given(ids=st.lists(st.integers(0, 511), min_size=4, max_size=40), cut=st.integers(2, 38))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_gives_the_same_bits_however_it_is_cut(int8: Path, ids: list[int], cut: int) -> None:
    cut = min(cut, len(ids) - 2)
    whole, parts = open_row(int8, 40), open_row(int8, 48)
    expected = whole.forward(ids, many=True).copy()
    parts.forward(ids[:cut], many=True)
    found = parts.forward(ids[cut:], many=True)
    assert np.array_equal(found, expected)
    assert np.array_equal(whole.read(0, len(ids)), parts.read(0, len(ids)))


def test_what_is_larger_than_its_scale_is_cut_off_and_not_wrapped(float_model: FloatModel, tmp_path: Path) -> None:
    peaks = cache_peaks(float_model.graph, strange_texts(512, 64)) / np.float32(20)
    row = open_row(save_graph(to_int8_cache(load_graph(float_model.graph), peaks), tmp_path / "x.onnx"), 8)
    plain = open_row(float_model.graph, 8)
    for one in (row, plain):
        one.forward([3, 60, 61])
    small, wide = row.read(0, 3)[:2].astype(int), plain.read(0, 3)[:2]  # of the first layer: no attention before it
    assert {int(small.min()), int(small.max())} == {-128, 127}
    assert np.array_equal(np.sign(small[np.abs(small) > 100]), np.sign(wide[np.abs(small) > 100]))


@pytest.mark.parametrize("fault", ["layers", "nan", "zeros"])
def test_a_cache_without_scales_is_refused(float_model: FloatModel, fault: str) -> None:
    peaks = np.ones((4, 1, 32), np.float32)
    broken = {"layers": peaks[:2], "nan": peaks * np.nan, "zeros": peaks * 0}[fault]
    with pytest.raises(CombinationRefusedError, match="needs scales that were measured"):
        to_int8_cache(load_graph(float_model.graph), broken)


def test_a_channel_that_was_never_used_is_coarse_and_not_lost(float_model: FloatModel) -> None:
    peaks = cache_peaks(float_model.graph, strange_texts(512, 64))
    peaks[:, :, 3] = 0
    stored = to_int8_cache(load_graph(float_model.graph), peaks).graph.initializer
    scales = [onnx.numpy_helper.to_array(tensor) for tensor in stored if tensor.name.endswith("_scale")]
    assert len(scales) == 4
    assert all(scale[3] == scale.max() > 0 for scale in scales)
