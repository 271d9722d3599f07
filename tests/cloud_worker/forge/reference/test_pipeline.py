"""The forge from end to end on two tiny models and a handful of steps: trained, exported, judged, described."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from cloud_worker.forge import export
from cloud_worker.forge.decoding import OnnxGreedy, TorchGreedy
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.reference import finishing, pipeline
from cloud_worker.forge.training import corpus
from cloud_worker.forge.training.optimise import initialise
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.findings import load_findings
from edgewise.wire.manifest import load_manifest
from tests.factories.forge import small_run

TIERS = {"cloud": "model.safetensors", "edge": "model.onnx", "draft": "model.safetensors"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    """A finished run."""
    run = small_run(tmp_path_factory.mktemp("forge"))
    pipeline.make(run, "all", Console(quiet=True))
    return run


@pytest.mark.parametrize("tier", TIERS)
def test_a_model_directory_is_complete_and_verifies(run: pipeline.Run, tier: str) -> None:
    manifest = load_manifest(run.out / tier, verify=True)
    assert (manifest.name, manifest.tier, manifest.eos_ids) == (f"edgewise-reference-{tier}", tier, (1,))
    assert set(manifest.files) == {TIERS[tier], "config.json", "tokenizer.json", "chat_template.jinja", "findings.json"}
    assert "## By family" in (run.out / tier / "CARD.md").read_text(encoding="utf-8")


def test_the_tiers_share_tokenizer_and_template(run: pipeline.Run) -> None:
    loaded = [ChatTokenizer.load(run.out / tier) for tier in TIERS]
    assert len({(one.digest, one.template_digest) for one in loaded}) == 1


@pytest.mark.parametrize("tier", TIERS)
def test_a_training_draws_its_loss_and_its_accuracy(run: pipeline.Run, tier: str) -> None:
    for name in ("loss", "accuracy"):
        assert (run.work / f"{tier}.{name}.png").read_bytes().startswith(b"\x89PNG")


def test_training_lowers_the_loss(run: pipeline.Run) -> None:
    losses = json.loads((run.work / "cloud.log.json").read_text())["losses"]
    assert len(losses) > 5
    assert losses[-1] < losses[0] - 0.5


def test_a_student_has_all_its_lessons(run: pipeline.Run) -> None:
    parts = json.loads((run.work / "edge.log.json").read_text())["parts"]
    assert list(parts) == ["guided", "plain", "taught", "on_policy"] and min(parts.values()) >= 1
    assert "taught by" in (run.out / "edge" / "CARD.md").read_text(encoding="utf-8").lower()


def test_the_float_graph_decodes_as_the_trained_weights(run: pipeline.Run, tmp_path: Path) -> None:
    prompt, trained = [3, 60, 61, 1, 4], run.work / "edge"
    graph = run.work / "onnx" / "fp32.onnx"
    folder = export.assemble("edge", graph, trained / "config.json", run.tokenizer_file, tmp_path)
    assert OnnxGreedy(folder).complete(prompt, 5) == TorchGreedy(Qwen2.load(trained)).complete(prompt, 5)


@pytest.mark.soak
def test_two_processes_find_what_one_found(run: pipeline.Run, tmp_path: Path) -> None:
    two = dataclasses.replace(run, out=tmp_path, recipe=dataclasses.replace(run.recipe, workers=2))
    finishing.examine(two)
    for tier in TIERS:
        assert load_findings(tmp_path / tier) == load_findings(run.out / tier)


def test_rows_of_another_scale_are_made_again(tmp_path: Path) -> None:
    small = small_run(tmp_path)
    large, model = dataclasses.replace(small, scale=2.0), small.recipe.model("cloud")
    counts = []
    for one in (small, small, large):
        pipeline.make_rows(one, model)
        counts.append(corpus.Corpus.load(one.rows("cloud")).tokens)
    assert counts[0] == counts[1] and counts[2] >= large.scaled(model).tokens > 1.5 * counts[0]


def test_labels_of_other_weights_are_made_again(run: pipeline.Run, tmp_path: Path) -> None:
    again = dataclasses.replace(run, work=tmp_path)
    shutil.copytree(run.work / "cloud", tmp_path / "cloud")
    shutil.copy(run.tokenizer_file, again.tokenizer_file)
    kept = again.labels("cloud") / "ids_0.npy"
    pipeline.make_labels(again, run.recipe.model("edge"))
    before = kept.stat().st_mtime_ns
    pipeline.make_labels(again, run.recipe.model("edge"))
    assert kept.stat().st_mtime_ns == before
    other = Qwen2(run.recipe.model("cloud").config)
    initialise(other, 99)
    other.save(tmp_path / "cloud")
    pipeline.make_labels(again, run.recipe.model("edge"))
    assert kept.stat().st_mtime_ns != before


def test_a_finished_training_is_not_repeated(run: pipeline.Run) -> None:
    logs = [run.work / f"{tier}.log.json" for tier in TIERS]
    before = [log.stat().st_mtime_ns for log in logs]
    pipeline.make(run, "train", Console(quiet=True))
    assert [log.stat().st_mtime_ns for log in logs] == before
