"""An export from end to end: the directory that comes out, what the edge runtime makes of it, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cloud_worker.forge.card import check_card
from cloud_worker.forge.export import read_source
from cloud_worker.forge.export.against_torch import compare, reference
from cloud_worker.forge.export.errors import CombinationRefusedError, ExportError
from cloud_worker.forge.export.graphs import graph_files, graph_tensors, load_graph, save_graph
from cloud_worker.forge.export.model_directory import STAGES, assemble_at, export_directory
from cloud_worker.forge.export.options import ExportOptions
from cloud_worker.forge.export.precision import export_onnx, float_graph
from cloud_worker.forge.export.report import Exported, graph_facts, rows, warnings_of
from cloud_worker.forge.quantize.calibration import CalibrationSetError
from cloud_worker.forge.quantize.methods.base import FloatModel
from cloud_worker.forge.quantize.methods.registry import method
from cloud_worker.forge.stepping import open_row
from edge_agent.runtime import OnnxEngine
from edgewise.generation.state import Message, Sampling
from edgewise.wire.findings import load_findings
from edgewise.wire.gates import gates_of
from edgewise.wire.manifest import load_manifest
from tests.factories.hub import write_hub_model
from tests.factories.states import make_state

PROMPT = (3, 60, 61, 1, 4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported, list[str]]:
    """A finished int4 export, its report and the stages that it told."""
    place = tmp_path_factory.mktemp("export")
    stages: list[str] = []
    done = export_directory(write_hub_model(place / "hub"), place / "out", name="small", stage=stages.append)
    return place / "out", done, stages


def test_the_directory_is_complete_and_verifies(exported: tuple[Path, Exported, list[str]]) -> None:
    folder, done, stages = exported
    manifest = load_manifest(folder)
    assert (manifest.id, manifest.name, manifest.tier, manifest.format) == (done.version, "small", "edge", "onnx")
    beside = {"config.json", "tokenizer.json", "chat_template.jinja", "findings.json"}
    assert set(manifest.files) == {"model.onnx", *beside}
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


def test_the_report_is_in_the_card_and_the_findings(exported: tuple[Path, Exported, list[str]]) -> None:
    folder, done, _ = exported
    findings = load_findings(folder)
    assert findings is not None
    (table,) = findings.tables
    assert table.rows == rows(done.method, done.graph, done.against_torch)
    assert check_card(folder).fault == ""
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    assert all(f"| {name} | {value} |" in card for name, value in table.rows)
    assert "not examined" in card
    assert "Exact match" not in card
    assert gates_of(findings) == []


def test_the_report_says_what_the_graph_is(exported: tuple[Path, Exported, list[str]]) -> None:
    folder, done, _ = exported
    assert done.graph == graph_facts(folder / "model.onnx")
    assert (done.graph.form, done.graph.cache, done.graph.cache_bytes_per_token) == ("1", "float32", 2 * 2 * 32 * 4)
    assert (done.graph.blocks, done.graph.bits, done.graph.hidden_states) == ((32,), (4, 8), 0)
    assert done.graph.bytes == (folder / "model.onnx").stat().st_size
    assert done.warnings == ()


@pytest.mark.soak
def test_an_int8_cache_and_hidden_states_are_exported_and_said(tmp_path: Path) -> None:
    options = ExportOptions(precision="int8", block=64, cache="int8", hidden_states=True, adapter_rank=4)
    done = export_directory(write_hub_model(tmp_path / "hub"), tmp_path / "out", options)
    assert done.method == "int8-block64"
    assert (done.graph.cache, done.graph.cache_bytes_per_token, done.graph.hidden_states) == ("int8", 128, 64)
    assert done.graph.adapter_rank == 4 and "up_proj" in done.graph.adapter_modules
    assert 0 < done.against_torch.kl < 0.05  # random weights: near ties are many, so agreement says little
    row = open_row(tmp_path / "out" / "model.onnx", 16)
    row.forward(PROMPT)
    assert row.hidden_states().shape == (1, 64)
    assert "| key-value cache | int8, 128 bytes a token |" in (tmp_path / "out" / "CARD.md").read_text(encoding="utf-8")


def test_float_arithmetic_is_allowed_and_said(float_model: FloatModel, tmp_path: Path) -> None:
    graph = method("int4-block32-level0").quantize(float_model, None, tmp_path / "x.onnx")
    (said,) = warnings_of(graph_facts(graph))
    assert "stay float" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ExportOptions(cache="int4"), "no cache of 'int4'"),
        (ExportOptions(precision="fp32", block=64), "no block to choose"),
        (ExportOptions(precision="int4-block32", block=64), "no block to choose"),
        (ExportOptions(block=48), "no quantization method 'int4-block48"),
        (ExportOptions(block=128), "do not divide"),
    ],
    ids=["cache", "float-block", "named-block", "odd-block", "wide-block"],
)
def test_settings_that_cannot_be_are_refused_before_the_work(tmp_path: Path, options: ExportOptions, said: str) -> None:
    with pytest.raises(CombinationRefusedError, match=said):
        export_directory(write_hub_model(tmp_path / "hub"), tmp_path / "out", options)
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_a_sliding_window_is_obeyed(tmp_path: Path) -> None:
    """Every layer sees 16 tokens: torch's answers, and what the cache holds before them changes no bit."""
    directory = write_hub_model(tmp_path / "hub", use_sliding_window=True, sliding_window=16, max_window_layers=0)
    source = read_source(directory)
    graph = float_graph(source.directory, source.directory / "tokenizer.json", tmp_path)
    said = reference(source)
    assert min(len(row.ids) for row in said.rows) > 2 * 16
    found = compare(said, graph, is_float=True)
    assert found.agreement == 1.0
    assert found.largest_gap < 1e-3
    row, text = open_row(graph, 64), PROMPT * 8
    row.forward(text)
    seen, after = row.read(0, len(text)), row.forward((7,))[-1].copy()
    first = len(text) - (16 - 1)  # of the tokens that the next one sees
    for changed, same in ((first, True), (first + 1, False)):
        cache = seen.copy()
        cache[:, :, :changed] += 1.0
        row.rewind(0)
        row.write(0, cache)
        assert np.array_equal(row.forward((7,))[-1], after) == same


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
    decoder = open_row(folder / "model.onnx", 64)
    row, expected = decoder.forward(PROMPT)[-1], list[int]()
    while len(expected) < 6 and (token := int(row.argmax())) != 1:
        expected.append(token)
        row = decoder.forward((token,))[-1]
    assert said == expected


def test_the_float_graph_is_torch(float_model: FloatModel) -> None:
    found = compare(reference(read_source(float_model.directory)), float_model.graph, is_float=True)
    assert found.agreement == 1.0
    assert found.largest_gap < 1e-3
    assert found.perplexity == pytest.approx(found.float_perplexity, rel=1e-4)


def test_a_float_graph_of_other_weights_is_refused(float_model: FloatModel, tmp_path: Path) -> None:
    graph = load_graph(float_model.graph)
    norm = next(one for one in graph.graph.initializer if "final_norm" in one.name or one.name == "model.norm.weight")
    norm.raw_data = bytes(len(norm.raw_data))
    said = reference(read_source(float_model.directory))
    with pytest.raises(ExportError, match="picks torch's token"):
        compare(said, save_graph(graph, tmp_path / "broken.onnx"), is_float=True)


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
        export_directory(
            write_hub_model(tmp_path / "hub"), tmp_path / "out", ExportOptions(precision=precision), stage=stages.append
        )
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
        export_directory(
            write_hub_model(tmp_path / "hub"), tmp_path / "out", ExportOptions(precision="int8-static-channel-mse")
        )


def test_a_large_graph_keeps_its_data_beside_it(float_model: FloatModel, tmp_path: Path) -> None:
    graph = save_graph(load_graph(float_model.graph), tmp_path / "large.onnx", one_file_bytes=1000)
    assert [path.name for path in graph_files(graph)] == ["large.onnx", "large.onnx.data"]
    assert graph_tensors(graph) == graph_tensors(float_model.graph)


@pytest.mark.soak
@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_other_architectures_export_too(tmp_path: Path, model_type: str, tied: bool) -> None:
    directory = write_hub_model(tmp_path / "hub", model_type, tie_word_embeddings=tied)
    done = export_directory(directory, tmp_path / "fp32", ExportOptions(precision="fp32"))
    assert done.against_torch.agreement == 1.0
    assert done.against_torch.largest_gap < 1e-3
    small = export_directory(directory, tmp_path / "int4")
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
