"""Which files are taken for a decoder graph, and what is said of the others; the machine's word for its kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgewise.graphs import DecoderGraph, kernel_id
from edgewise.wire.errors import ManifestError


def test_the_shape_is_read_from_the_graph_alone(tiny_dir: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    alone.write_bytes((tiny_dir / "model.onnx").read_bytes())
    shape = DecoderGraph.load(alone).shape
    assert (shape.layers, shape.kv_heads, shape.head_dim, shape.vocab, shape.hidden) == (2, 2, 16, 259, 64)
    assert shape.kv_bytes_per_token == 2 * 2 * 2 * 16 * 4  # key and value · layers · kv heads · width · float32
    assert shape.cache_names == ("0.key", "0.value", "1.key", "1.value")


def _without_form(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def _without_rows(model: onnx.ModelProto) -> None:
    model.graph.input.remove(next(each for each in model.graph.input if each.name == "rows"))
    model.graph.initializer.append(onnx.helper.make_tensor("rows", onnx.TensorProto.INT64, [1], [0]))


def _with_head_dim(said: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        next(each for each in model.metadata_props if each.key == "edgewise.head_dim").value = said

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without_form, "edgewise.form"),
        (_without_rows, "has no rows"),
        (_with_head_dim("many"), "edgewise.head_dim"),
        (_with_head_dim("0"), "edgewise.head_dim"),
    ],
    ids=["no-form", "no-rows", "words-for-a-size", "no-size"],
)
def test_a_graph_of_another_form_is_refused_by_name(
    tiny_dir: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], None], why: str
) -> None:
    model = onnx.load(tiny_dir / "model.onnx")
    change(model)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ManifestError, match=why) as raised:
        DecoderGraph.load(tmp_path / "model.onnx")
    assert "edgewise model export" in raised.value.remedy


@pytest.mark.parametrize("keep", [0, 1, 1000, -1])
def test_a_truncated_file_is_refused(tiny_dir: Path, tmp_path: Path, keep: int) -> None:
    whole = (tiny_dir / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[:keep])
    with pytest.raises(ManifestError, match=r"model\.onnx"):
        DecoderGraph.load(tmp_path / "model.onnx")


def test_the_kernel_id_names_version_provider_and_extensions(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags : fpu avx2 avx512_vnni nonsense")
    assert kernel_id(tmp_path / "cpuinfo").endswith("[avx2,avx512_vnni]")
    assert kernel_id(tmp_path / "none").endswith("[]") and "CPUExecutionProvider" in kernel_id(tmp_path / "none")
