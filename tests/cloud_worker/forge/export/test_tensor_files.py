"""Tensors in files of their own: the same bits, mapped from those files, and whole in manifest, store and copies."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from cloud_worker.forge.export.folder import place_weights, tensors_of, write_model_manifest
from cloud_worker.forge.export.graphs import graph_bytes, graph_files, load_graph
from cloud_worker.forge.export.tensor_files import APART_BYTES, LEAST_BYTES, save_with_tensor_files
from edge_agent.runtime import OnnxEngine
from edgewise.graphs import DecoderGraph, SessionSettings
from edgewise.graphs.prepacked import PrepackedStore
from edgewise.models import ModelStore
from edgewise.wire.errors import ManifestError, ModelDigestError, ModelMissingError
from edgewise.wire.manifest import Manifest, load_manifest
from tests.edge_agent.runtime.drive import prompt_of
from tests.edge_agent.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose matrices all have rows in multiples of 64, so that a packed copy can be made."""
    directory = tmp_path_factory.mktemp("one-file")
    write_tiny_model(directory, vocab=320)
    return directory


@pytest.fixture(scope="module")
def apart(one_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with its tensors beside the graph."""
    return with_tensors(one_file, tmp_path_factory.mktemp("apart") / "model")


def with_tensors(source: Path, directory: Path) -> Path:
    directory.mkdir()
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copyfile(source / name, directory / name)
    place_weights(source / "model.onnx", directory, tensors=True)
    write_model_manifest(directory, "edge", "a test", name="tiny-edge", context_tokens=512, eos_ids=(2,))
    return directory


def bits(directory: Path, settings: SessionSettings | None = None, digest: str = "") -> bytes:
    """Logits of a prompt and of single tokens after it, and the cache."""
    row = DecoderGraph.load(directory / "model.onnx", settings, digest).new_row(64)
    seen = [row.forward(prompt_of(40), rows=40).tobytes(), *(row.forward([token]).tobytes() for token in (5, 9))]
    return b"".join(seen) + row.read(0, row.length).tobytes()


def maps_of(folder: Path) -> set[str]:
    """Files in a folder that this process has mapped."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return {Path(line.split()[-1]).name for line in lines if line.split()[-1].startswith(str(folder))}


def test_the_bits_are_those_of_one_file(one_file: Path, apart: Path) -> None:
    assert bits(apart) == bits(one_file)


def test_tensors_are_mapped_from_their_files(apart: Path) -> None:
    """Those that no kernel packs stay mapped: of this model, the embedding and the rotary tables."""
    graph = DecoderGraph.load(apart / "model.onnx")
    stored = load_manifest(apart).tensors
    assert {stored[name].sha256 for name in ("embed", "cos_cache", "sin_cache")} <= maps_of(apart / "tensors")
    assert graph.shape.vocab == 320


def test_files_are_named_by_their_content_and_small_tensors_stay(apart: Path, one_file: Path) -> None:
    manifest, files = load_manifest(apart), sorted((apart / "tensors").iterdir())
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in files)
    assert {path.name for path in files} < {entry.sha256 for entry in manifest.tensors.values()}
    assert min(path.stat().st_size for path in files) >= LEAST_BYTES
    assert set(manifest.files) == {"model.onnx", "tokenizer.json", "chat_template.jinja"} | {
        f"tensors/{path.name}" for path in files
    }
    assert manifest.tensors == tensors_of(one_file / "model.onnx")
    assert graph_files(apart / "model.onnx") == [apart / "model.onnx", *files]
    assert graph_bytes(apart / "model.onnx") == sum(entry.bytes for entry in manifest.graph_files.values())
    graph = onnx.load(str(apart / "model.onnx"), load_external_data=False)
    assert len(graph.SerializeToString()) < LEAST_BYTES * len(files)


def test_only_large_graphs_are_taken_apart_unasked(one_file: Path, tmp_path: Path) -> None:
    place_weights(one_file / "model.onnx", tmp_path)
    assert graph_files(tmp_path / "model.onnx") == [tmp_path / "model.onnx"]
    model = load_graph(one_file / "model.onnx")
    big = np.arange(APART_BYTES // 4, dtype=np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(big, "big"))
    onnx.save_model(model, tmp_path / "large.onnx")
    (tmp_path / "out").mkdir()
    place_weights(tmp_path / "large.onnx", tmp_path / "out")
    assert hashlib.sha256(big.tobytes()).hexdigest() in {path.name for path in (tmp_path / "out" / "tensors").iterdir()}


def test_the_same_tensor_is_one_file_and_an_older_folder_goes(one_file: Path, tmp_path: Path) -> None:
    (tmp_path / "tensors").mkdir()
    (tmp_path / "tensors" / "old").write_bytes(b"old")
    model = load_graph(one_file / "model.onnx")
    twin = onnx.TensorProto.FromString(model.graph.initializer[0].SerializeToString())
    twin.name = "twin"
    model.graph.initializer.append(twin)
    distinct = {tensor.raw_data for tensor in model.graph.initializer if len(tensor.raw_data) >= LEAST_BYTES}
    save_with_tensor_files(model, tmp_path / "model.onnx")
    assert len(list((tmp_path / "tensors").iterdir())) == len(distinct)


def test_it_answers_from_the_store_through_the_pointer(apart: Path, tmp_path: Path) -> None:
    """Hard links are taken by ONNX Runtime, and so is a directory that a symbolic link leads to."""
    store = ModelStore(tmp_path / "models")
    store.use(store.install(apart).version)
    assert (store.path / "model.onnx").stat().st_nlink == 2
    assert bits(store.path) == bits(apart)
    assert OnnxEngine.load(store.path).manifest == load_manifest(apart)


def test_one_changed_tensor_is_all_that_an_update_writes(apart: Path, one_file: Path, tmp_path: Path) -> None:
    model = load_graph(one_file / "model.onnx")
    (scales,) = (tensor for tensor in model.graph.initializer if tensor.name == "embed")
    scales.raw_data = (np.frombuffer(scales.raw_data, np.float32) * np.float32(1.5)).tobytes()
    shutil.copytree(one_file, tmp_path / "changed")
    onnx.save_model(model, tmp_path / "changed" / "model.onnx")
    updated = with_tensors(tmp_path / "changed", tmp_path / "updated")
    store = ModelStore(tmp_path / "models")
    store.install(apart)
    done = store.install(updated)
    graph = (updated / "model.onnx").stat().st_size
    assert (done.written_files, done.written_bytes) == (2, len(scales.raw_data) + graph)
    assert graph < done.total_bytes / 4
    assert bits(updated) != bits(apart)


def test_a_packed_copy_knows_all_of_it(apart: Path, one_file: Path, tmp_path: Path) -> None:
    """Its size counts the tensors, its bits are the same."""
    graph = apart / "model.onnx"
    small = PrepackedStore(tmp_path / "a", least_bytes=graph.stat().st_size + 1)
    packed = small.find_or_make(graph, "d" * 64)
    assert packed is not None
    assert bits(apart, SessionSettings(prepacked=small), "d" * 64) == bits(one_file)
    assert PrepackedStore(tmp_path / "b", least_bytes=graph_bytes(graph) + 1).find_or_make(graph, "d" * 64) is None


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _exchange(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


@pytest.mark.parametrize(
    ("damage", "error"),
    [(_truncate, ModelDigestError), (_exchange, ModelDigestError), (Path.unlink, ModelMissingError)],
)
def test_a_damaged_tensor_is_refused(apart: Path, tmp_path: Path, damage: object, error: type[Exception]) -> None:
    shutil.copytree(apart, tmp_path / "m")
    assert callable(damage)
    damage(sorted((tmp_path / "m" / "tensors").iterdir())[2])
    with pytest.raises(error):
        OnnxEngine.load(tmp_path / "m")


def test_a_graph_reads_nothing_from_outside_its_directory(apart: Path, tmp_path: Path) -> None:
    """ONNX Runtime refuses it; a manifest cannot name it."""
    shutil.copytree(apart, tmp_path / "m")
    shutil.move(tmp_path / "m" / "tensors", tmp_path / "tensors")
    (tmp_path / "m" / "tensors").symlink_to(tmp_path / "tensors")
    with pytest.raises(ManifestError, match="escapes"):
        DecoderGraph.load(tmp_path / "m" / "model.onnx")


def test_the_digest_of_a_graph_covers_its_tensors(apart: Path) -> None:
    manifest = load_manifest(apart)
    assert isinstance(manifest, Manifest)
    graph = (apart / "model.onnx").read_bytes()
    named = {name.partition("/")[2] for name in manifest.files if "/" in name}
    assert all(digest.encode() in graph for digest in named) and len(named) > 5
    assert manifest.weights_digest == hashlib.sha256(graph).hexdigest()
