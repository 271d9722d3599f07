"""The bodies of our kinds on a model of one narrow layer: their results, and that nothing is done twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from cloud_worker.forge.export import CombinationRefusedError, write_model_manifest
from cloud_worker.forge.jobs.bodies.evaluate import evaluate
from cloud_worker.forge.jobs.bodies.export import export
from cloud_worker.forge.jobs.bodies.quantize import quantize
from cloud_worker.forge.jobs.bodies.train import run_stages
from cloud_worker.forge.jobs.kinds import BODIES, Bench
from cloud_worker.forge.jobs.stages import Meter
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.reference.stages import Stage, Tell
from cloud_worker.forge.tokenizer import CHAT_TEMPLATE
from cloud_worker.forge.training.optimise import initialise
from edgewise.wire.forge_jobs import PAYLOADS, EvaluatePayload, ExportPayload, ModelResult, QuantizePayload
from edgewise.wire.manifest import load_manifest
from tests.factories.forge import SHAPE, small_tokenizer

JOB = Path("jobs") / "01hzzzzzzzzzzzzzzzzzzzzzzz"


class KilledError(Exception):
    """Stands for SIGKILL."""


def quiet(stage: str, done: float, total: float, message: str = "") -> None:
    """Progress that nobody hears."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained directory, as the forge leaves one."""
    folder = tmp_path_factory.mktemp("trained")
    untrained = Qwen2(SHAPE)
    initialise(untrained, 1)
    untrained.save(folder)
    small_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    write_model_manifest(folder, "cloud", "none", context_tokens=512)
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / JOB
    folder.mkdir(parents=True)
    return Bench(folder)


def test_every_kind_has_a_payload_and_a_body_that_can_be_imported() -> None:
    assert [kind.name for kind in BODIES] == list(PAYLOADS)
    for kind in BODIES:
        assert callable(kind.load())
        fields = {field.name for field in msgspec.structs.fields(kind.payload)}
        assert fields >= {*kind.models, *kind.files}
        Meter(kind.stages, lambda told: None)(next(iter(kind.stages)), 0, 1)


def test_an_examination_that_was_killed_goes_on_where_it_was(model: Path, bench: Bench) -> None:
    payload = EvaluatePayload(model=str(model), per_cell=1, answer_tokens=2)

    def dies(stage: str, done: float, total: float, message: str = "") -> None:
        if done > 128:
            raise KilledError

    with pytest.raises(KilledError):
        evaluate(payload, bench, dies)
    (kept,) = (bench.folder / "stages").iterdir()
    written = kept.stat().st_mtime_ns
    heard: list[tuple[float, float]] = []
    found = evaluate(payload, bench, lambda stage, done, total, message="": heard.append((done, total)))
    assert heard[0] == (128, found.total)
    assert heard[-1] == (found.total, found.total)
    assert kept.stat().st_mtime_ns == written
    assert sum(total for *_, total in found.cells) == found.total
    assert found.perplexity is not None
    assert found.manifest_id == load_manifest(model).id


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, ModelResult]:
    """An export in fp32: its graph is what a quantization starts from."""
    folder = tmp_path_factory.mktemp("data") / JOB
    folder.mkdir(parents=True)
    return Bench(folder), export(ExportPayload(model=str(model), name="mine"), Bench(folder), quiet)


def test_an_exported_model_is_a_directory_below_the_data_directory(exported: tuple[Bench, ModelResult]) -> None:
    bench, made = exported
    manifest = load_manifest(bench.folder.parent.parent / made.directory)
    assert (manifest.id, manifest.name, manifest.format) == (made.manifest_id, "mine", "onnx")


def test_a_quantization_that_was_killed_goes_on_from_the_float_graph_and_names_its_parent(
    model: Path, bench: Bench, exported: tuple[Bench, ModelResult]
) -> None:
    (bench.folder / "onnx").mkdir()
    shutil.copy(exported[0].folder / "model" / "edge" / "model.onnx", bench.folder / "onnx" / "fp32.onnx")
    payload = QuantizePayload(model=str(model), method="int8-block32")
    made = quantize(payload, bench, quiet)
    manifest = load_manifest(bench.folder.parent.parent / made.directory)
    assert (manifest.id, manifest.parent) == (made.manifest_id, load_manifest(model).id)
    assert (manifest.tier, manifest.format, manifest.context_tokens) == ("edge", "onnx", 512)
    assert manifest.name == "edgewise-reference-cloud-int8-block32"
    assert not (bench.folder / "onnx").exists()
    assert quantize(payload, bench, quiet) == made


def test_a_method_that_cannot_be_is_refused_before_any_work(model: Path, bench: Bench) -> None:
    with pytest.raises(CombinationRefusedError):
        quantize(QuantizePayload(model=str(model), method="int4-tensor"), bench, quiet)
    assert list(bench.folder.iterdir()) == []


def test_training_stages_are_told_by_the_seconds_that_they_take() -> None:
    heard: list[tuple[float, str]] = []
    worked: list[str] = []

    def work(tell: Tell) -> None:
        worked.append("x")
        tell(0.5, "step 1/2")

    stages = [Stage("edge rows", 10, work), Stage("edge training", 30, work)]
    run_stages(stages, lambda stage, done, total, message="": heard.append((done, message)))
    assert worked == ["x", "x"]
    assert heard == [
        (0.0, "edge rows"),
        (0.125, "edge rows step 1/2"),
        (0.25, "edge training"),
        (0.625, "edge training step 1/2"),
        (1, ""),
    ]
