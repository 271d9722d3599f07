"""The forge from end to end on two tiny models and a handful of steps: trained, exported, judged, described."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from cloud_worker.engine.models.qwen2 import Qwen2
from cloud_worker.forge import pipeline
from cloud_worker.forge.decoding import OnnxGreedy, TorchGreedy
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.manifest import load_manifest
from tests.factories.forge import small_run

TIERS = {"edge": "model.onnx", "cloud": "model.safetensors"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    """A finished run."""
    run = small_run(tmp_path_factory.mktemp("forge"))
    pipeline.make_tokenizer(run)
    pipeline.train_both(run, [])
    pipeline.finish(run, Console(quiet=True))
    return run


@pytest.mark.parametrize("tier", TIERS)
def test_a_model_directory_is_complete_and_verifies(run: pipeline.Run, tier: str) -> None:
    manifest = load_manifest(run.out / tier, verify=True)
    assert (manifest.name, manifest.tier, manifest.eos_ids) == (f"edgewise-reference-{tier}", tier, (1,))
    assert set(manifest.files) == {TIERS[tier], "config.json", "tokenizer.json", "chat_template.jinja"}
    assert "## By family" in (run.out / tier / "CARD.md").read_text(encoding="utf-8")


def test_the_tiers_share_tokenizer_and_template(run: pipeline.Run) -> None:
    edge, cloud = (ChatTokenizer.load(run.out / tier) for tier in TIERS)
    assert (edge.digest, edge.template_digest) == (cloud.digest, cloud.template_digest)


@pytest.mark.parametrize("tier", TIERS)
def test_training_lowers_the_loss_and_draws_it(run: pipeline.Run, tier: str) -> None:
    losses = json.loads((run.work / f"{tier}.log.json").read_text())["losses"]
    assert len(losses) > 5
    assert losses[-1] < losses[0] - 0.5
    assert (run.work / f"{tier}.loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_exported_graph_decodes_as_the_trained_weights(run: pipeline.Run) -> None:
    prompt = [3, 60, 61, 1, 4]
    trained = Qwen2.load(run.work / "edge")
    found = OnnxGreedy(run.out / "edge").complete(prompt, 5)
    assert found == TorchGreedy(trained).complete(prompt, 5)


def test_a_finished_training_is_not_repeated(run: pipeline.Run) -> None:
    logs = [run.work / f"{tier}.log.json" for tier in TIERS]
    before = [log.stat().st_mtime_ns for log in logs]
    pipeline.train_both(run, [])
    assert [log.stat().st_mtime_ns for log in logs] == before
