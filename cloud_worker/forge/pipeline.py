"""`reference-models` from end to end: tokenizer, corpora, two trainings, export, examination, cards, manifests.

Finished stages are found in the work folder and not repeated, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from tokenizers import Tokenizer

from cloud_worker.engine.models.qwen2 import Qwen2
from cloud_worker.forge import corpus, decoding, evaluate, export, launch, tokenizer
from cloud_worker.forge.card import Findings, quantization_note, write_card
from cloud_worker.forge.curriculum import examination
from cloud_worker.forge.recipes import VOCABULARY, ModelRecipe, Recipe
from cloud_worker.forge.train import Job

TOKENIZER_CONVERSATIONS: Final = 40_000


@dataclass(frozen=True)
class Run:
    """One call of the forge.

    `per_cell` is the number of exercises per family, grade and language, `answer_tokens` the most that an examined
    model may say, `agreement_exercises` how many conversations the exported graphs of all `precisions` are compared on.
    """

    recipe: Recipe
    out: Path
    work: Path
    device: str = "cpu"
    scale: float = 1.0
    per_cell: int = 12
    compile: bool = True
    answer_tokens: int = evaluate.ANSWER_LIMIT
    agreement_exercises: int = 120
    precisions: tuple[str, ...] = export.PRECISIONS

    def scaled(self, model: ModelRecipe) -> ModelRecipe:
        """The model's recipe with its tokens multiplied by the scale (at least a step of each kind of row)."""
        return dataclasses.replace(model, tokens=max(2 * corpus.LONG_TOKENS * 10, round(model.tokens * self.scale)))

    @property
    def tokenizer_file(self) -> Path:
        """Where the trained tokenizer lies."""
        return self.work / "tokenizer.json"

    @property
    def label(self) -> str:
        """The recipe's name as cards and manifests give it."""
        return self.recipe.name if self.scale == 1 else f"{self.recipe.name}, steps scaled by {self.scale:g}"


def make_tokenizer(run: Run) -> None:
    """Train and save the tokenizer, unless it is there."""
    run.work.mkdir(parents=True, exist_ok=True)
    if not run.tokenizer_file.exists():
        tokenizer.train(run.recipe.seed, TOKENIZER_CONVERSATIONS, VOCABULARY).save(str(run.tokenizer_file))


def train_tier(run: Run, model: ModelRecipe) -> None:
    """Make the corpus of one model and train it, unless its log says that it is done."""
    if (run.work / f"{model.tier}.log.json").exists():
        return
    rows = run.work / f"{model.tier}.corpus.npz"
    seed = run.recipe.seed * 10 + (0 if model.tier == "edge" else 1)
    corpus.build(run.tokenizer_file, seed, run.scaled(model).tokens, run.recipe.workers).save(rows)
    recipe = run.recipe
    launch.train_model(Job(run.scaled(model), rows, run.work, recipe.seed, run.device, run.compile, recipe.ranks))
    rows.unlink()


def train_both(run: Run, arguments: list[str]) -> None:
    """Edge, then cloud; on a GPU at the same time, the edge model in a second process called with `arguments`."""
    if not run.device.startswith("cuda"):
        train_tier(run, run.recipe.edge)
        train_tier(run, run.recipe.cloud)
        return
    command = [sys.executable, "-m", "cloud_worker.forge", *arguments, "--stage", "edge"]
    beside = subprocess.Popen(command)  # noqa: S603 (our own argument list, no shell)
    train_tier(run, run.recipe.cloud)
    if beside.wait():
        raise subprocess.CalledProcessError(beside.returncode, "edge training")


def finish(run: Run, console: Console) -> None:
    """Export, examine and describe both models; the result is complete model directories under `out`."""
    encoder = tokenizer.load(run.tokenizer_file)
    _finish_edge(run, encoder, console)
    _finish_cloud(run, encoder, console)


def _finish_edge(run: Run, encoder: Tokenizer, console: Console) -> None:
    trained = run.work / "edge"
    model = Qwen2.load(trained)
    tried: dict[str, tuple[int, evaluate.Agreement]] = {}
    for precision in run.precisions:
        tried[precision] = _try_precision(run, model, encoder, precision)
        console.print(f"edge {precision}: {tried[precision]}")
    graph = run.work / "onnx" / f"{export.SHIPPED}.onnx"
    folder = export.assemble("edge", graph, trained / "config.json", run.tokenizer_file, run.out)
    findings = _examine(run, decoding.OnnxGreedy(folder), encoder, "edge")
    _describe(run, folder, "edge", model, findings, quantization_note(tried, export.SHIPPED))


def _try_precision(run: Run, model: Qwen2, encoder: Tokenizer, precision: str) -> tuple[int, evaluate.Agreement]:
    """Export the edge model in one precision; the graph's bytes and its agreement with the torch weights."""
    trained = run.work / "edge"
    graph = export.export_onnx(trained, run.tokenizer_file, run.work / "onnx", precision)
    place = run.work / f"assembled-{precision}"
    folder = export.assemble("edge", graph, trained / "config.json", run.tokenizer_file, place)
    found = evaluate.agreement(decoding.OnnxGreedy(folder), model, encoder, run.agreement_exercises)
    return graph.stat().st_size, found


def _finish_cloud(run: Run, encoder: Tokenizer, console: Console) -> None:
    trained = run.work / "cloud"
    weights, config = trained / "model.safetensors", trained / "config.json"
    folder = export.assemble("cloud", weights, config, run.tokenizer_file, run.out)
    model = Qwen2.load(folder)
    findings = _examine(run, decoding.TorchGreedy(model), encoder, "cloud")
    note = "Weights are stored in bf16 and were examined in float32 arithmetic."
    _describe(run, folder, "cloud", model, findings, note)


def _examine(run: Run, model: decoding.Greedy, encoder: Tokenizer, tier: str) -> Findings:
    total = 2 * sum(1 for _ in examination(0, run.per_cell, held_out=False))
    judge = partial(evaluate.examine, model, encoder, run.per_cell, limit=run.answer_tokens)
    with Progress(refresh_per_second=1) as bar:
        task = bar.add_task(f"examining {tier}", total=total)
        judge = partial(judge, progress=lambda: bar.advance(task))
        return Findings(known=judge(held_out=False), held_out=judge(held_out=True))


def _describe(run: Run, folder: Path, tier: str, model: Qwen2, findings: Findings, notes: str) -> None:
    parameters = sum(value.numel() for value in model.parameters())
    log, weights = run.work / f"{tier}.log.json", folder / export.WEIGHTS[tier]
    write_card(folder, tier, run.label, log, parameters, weights, findings, notes)
    export.write_model_manifest(folder, tier, run.label)


def single_threaded() -> None:
    """Keep every library of this process and of its children on one thread (see train.py)."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        os.environ[name] = "false" if name.startswith("TOKEN") else "1"
