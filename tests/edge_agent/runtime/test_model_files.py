"""Model directories that are incomplete, changed, or hold a graph that cannot be driven: each fault by its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edge_agent.runtime import OnnxEngine
from edgewise.graphs.shape import FORM_KEY, HEAD_DIM_KEY
from edgewise.wire.errors import ManifestError, ModelDigestError, ModelMissingError
from edgewise.wire.manifest import build_manifest, write_manifest


def test_a_missing_directory_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="make reference-models"):
        OnnxEngine.load(tmp_path / "nothing")


def test_a_missing_graph_is_named(tiny_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dir, tmp_path / "m")
    (tmp_path / "m" / "model.onnx").unlink()
    with pytest.raises(ModelMissingError, match=r"model\.onnx"):
        OnnxEngine.load(tmp_path / "m")


def test_a_changed_graph_is_not_loaded(tiny_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dir, tmp_path / "m")
    graph = tmp_path / "m" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelDigestError, match=r"model\.onnx"):
        OnnxEngine.load(tmp_path / "m")


@pytest.mark.parametrize(
    "damage", ["no graph", "garbage", "truncated", "another form", "wrong head width", "not a decoder"]
)
def test_a_directory_whose_manifest_fits_but_whose_graph_does_not(tiny_dir: Path, tmp_path: Path, damage: str) -> None:
    directory = tmp_path / "m"
    shutil.copytree(tiny_dir, directory)
    weights = "model.onnx"
    if damage == "no graph":
        weights = "model.bin"
        (directory / "model.onnx").rename(directory / weights)
    elif damage == "garbage":
        (directory / "model.onnx").write_bytes(b"\x08\x0a" + bytes(100))
    elif damage == "truncated":
        graph = (directory / "model.onnx").read_bytes()
        (directory / "model.onnx").write_bytes(graph[: len(graph) // 2])
    elif damage == "another form":
        _describe(directory / "model.onnx", {FORM_KEY: "0"})
    elif damage == "wrong head width":
        _describe(directory / "model.onnx", {HEAD_DIM_KEY: "7"})
    else:
        (directory / "model.onnx").write_bytes(_not_a_decoder())
    manifest = build_manifest(
        directory, name="m", tier="edge", format="onnx", weights=weights, context_tokens=64, eos_ids=(2,)
    )
    write_manifest(directory, manifest)
    with pytest.raises(ManifestError) as raised:
        OnnxEngine.load(directory)
    assert raised.value.where and raised.value.remedy


def _describe(graph: Path, other: dict[str, str]) -> None:
    """Change what a graph says of itself."""
    model = onnx.load(str(graph))
    described = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    helper.set_model_props(model, described | other)
    onnx.save(model, str(graph))


def _not_a_decoder() -> bytes:
    x = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1])
    y = helper.make_tensor_value_info("logits", TensorProto.INT64, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["input_ids"], ["logits"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())
