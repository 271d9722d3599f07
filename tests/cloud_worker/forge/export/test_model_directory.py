"""An export from end to end: the directory that comes out, what the edge runtime makes of it, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cloud_worker.forge.export import read_source
from cloud_worker.forge.export.against_torch import compare, reference
from cloud_worker.forge.export.errors import CombinationRefusedError, ExportError
from cloud_worker.forge.export.graphs import graph_files, graph_tensors, load_graph, save_graph
from cloud_worker.forge.export.model_directory import STAGES, Exported, assemble_at, export_directory
from cloud_worker.forge.export.precision import export_onnx, float_graph
from cloud_worker.forge.quantize.calibration import CalibrationSetError
from cloud_worker.forge.quantize.decoder import GraphDecoder
from cloud_worker.forge.quantize.methods.base import FloatModel
from edge_agent.runtime import OnnxEngine
from edgewise.generation.state import Message, Sampling
from edgewise.wire.manifest import load_manifest
from tests.factories.hub import write_hub_model
from tests.factories.states import make_state

PROMPT = (3, 60, 61, 1, 4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported, list[str]]:
    """A finished int4 export, its report and the stages that it told."""
    place = tmp_path_factory.mktemp("export")
    stages: list[str] = []
    done = export_directory(write_hub_model(place / "hub"), place / "out", "int4", name="small", stage=stages.append)
    return place / "out", done, stages


def test_the_directory_is_complete_and_verifies(exported: tuple[Path, Exported, list[str]]) -> None:
    folder, done, stages = exported
    manifest = load_manifest(folder)
    assert (manifest.id, manifest.name, manifest.tier, manifest.format) == (done.version, "small", "edge", "onnx")
    assert set(manifest.files) == {"model.onnx", "config.json", "tokenizer.json", "chat_template.jinja"}
    assert (manifest.eos_ids, manifest.context_tokens) == ((1,), 512)
    assert manifest.tensors["model.norm.weight" if "model.norm.weight" in manifest.tensors else "cos_cache"].sha256
    assert any(entry.dtype == "uint8" for entry in manifest.tensors.values())
    assert stages == list(STAGES)
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_the_report_compares_with_torch(exported: tuple[Path, Exported, list[str]]) -> None:
    _, done, _ = exported
    assert done.method == "int4-block32-attention8"
    assert done.against_torch.agreement > 0.6  # random weights say little about rounding; the float test is exact
    assert 0 < done.against_torch.largest_gap < 20


def test_the_edge_runtime_answers_with_it(exported: tuple[Path, Exported, list[str]]) -> None:
    folder, _, _ = exported
    engine = OnnxEngine.load(folder)
    state = make_state(
        prompt_ids=PROMPT,
        sampling=Sampling(temperature=0.0),
        max_tokens=6,
        eos_ids=(1,),
        tokenizer_digest=engine.manifest.tokenizer_digest,
        template_digest=engine.manifest.template_digest,
        numerics_id=engine.numerics_id,
    )
    engine.submit("a", state)
    said = [token for _ in range(12) for output in engine.step() for token in output.ids]
    decoder = GraphDecoder(folder / "model.onnx", 32, 64)
    row, expected = decoder.forward(PROMPT)[-1], list[int]()
    while len(expected) < 6 and (token := int(row.argmax())) != 1:
        expected.append(token)
        row = decoder.forward((token,))[-1]
    assert said == expected


def test_the_float_graph_is_torch(float_model: FloatModel) -> None:
    found = compare(reference(read_source(float_model.directory)), float_model.graph, 32, is_float=True)
    assert found.agreement == 1.0
    assert found.largest_gap < 1e-3
    assert found.perplexity == pytest.approx(found.float_perplexity, rel=1e-4)


def test_a_float_graph_of_other_weights_is_refused(float_model: FloatModel, tmp_path: Path) -> None:
    graph = load_graph(float_model.graph)
    norm = next(one for one in graph.graph.initializer if "final_norm" in one.name or one.name == "model.norm.weight")
    norm.raw_data = bytes(len(norm.raw_data))
    said = reference(read_source(float_model.directory))
    with pytest.raises(ExportError, match="picks torch's token"):
        compare(said, save_graph(graph, tmp_path / "broken.onnx"), 32, is_float=True)


def test_a_float_graph_that_is_there_is_not_built_again(float_model: FloatModel) -> None:
    built = float_model.graph.stat().st_mtime_ns
    made = export_onnx(float_model.directory, float_model.tokenizer_file, float_model.graph.parent, "int8")
    assert float_model.graph.stat().st_mtime_ns == built
    assert made.stat().st_size < float_model.graph.stat().st_size / 2


@pytest.mark.parametrize(
    ("precision", "said"),
    [("int3", "no quantization method"), ("int4-tensor", "cannot be made"), ("int4-block128", "do not divide")],
)
def test_what_cannot_be_made_is_refused_before_the_work(tmp_path: Path, precision: str, said: str) -> None:
    stages: list[str] = []
    with pytest.raises(CombinationRefusedError, match=said):
        export_directory(write_hub_model(tmp_path / "hub"), tmp_path / "out", precision, stage=stages.append)
    assert stages == [STAGES[0]]
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(CombinationRefusedError, match="not empty"):
        export_directory(write_hub_model(tmp_path / "hub"), tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_methods_with_calibration_are_for_the_table(tmp_path: Path) -> None:
    with pytest.raises(CalibrationSetError, match="needs calibration rows"):
        export_directory(write_hub_model(tmp_path / "hub"), tmp_path / "out", "int8-static-channel-mse")


def test_a_large_graph_keeps_its_data_beside_it(float_model: FloatModel, tmp_path: Path) -> None:
    graph = save_graph(load_graph(float_model.graph), tmp_path / "large.onnx", one_file_bytes=1000)
    assert [path.name for path in graph_files(graph)] == ["large.onnx", "large.onnx.data"]
    assert graph_tensors(graph) == graph_tensors(float_model.graph)


@pytest.mark.soak
@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_other_architectures_export_too(tmp_path: Path, model_type: str, tied: bool) -> None:
    directory = write_hub_model(tmp_path / "hub", model_type, tie_word_embeddings=tied)
    done = export_directory(directory, tmp_path / "fp32", "fp32")
    assert done.against_torch.agreement == 1.0
    assert done.against_torch.largest_gap < 1e-3
    small = export_directory(directory, tmp_path / "int4", "int4")
    assert OnnxEngine.load(tmp_path / "int4").manifest.id == small.version


def test_a_float_graph_of_another_model_is_not_taken(float_model: FloatModel, tmp_path: Path) -> None:
    """A work folder that is used again, by a model whose files are older than the graph there."""
    other = tmp_path / "other"
    shutil.copytree(float_model.directory, other)
    for name in ("fp32.onnx", "fp32.of"):
        shutil.copy2(float_model.graph.with_name(name), tmp_path / name)
    (tmp_path / "work").write_text("where the builder would work")
    assert float_graph(float_model.directory, float_model.tokenizer_file, tmp_path) == tmp_path / "fp32.onnx"
    with pytest.raises(NotADirectoryError):
        float_graph(other, other / "tokenizer.json", tmp_path)


def test_special_tokens_of_the_template_are_not_lost(tmp_path: Path) -> None:
    directory = write_hub_model(tmp_path / "hub")
    template = "{{ bos_token }}" + read_source(directory).speech.template
    (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
    (directory / "tokenizer_config.json").write_text('{"bos_token": "<|pad|>"}')
    source = read_source(directory)
    with_it = source.chat.encode_chat((Message("user", "a"),))
    assert source.speech.tokenizer.id_to_token(with_it[0]) == "<|pad|>"
    folder = assemble_at(source, directory / "tokenizer.json", tmp_path / "out")
    assert "<|pad|>" in (folder / "chat_template.jinja").read_text(encoding="utf-8")
