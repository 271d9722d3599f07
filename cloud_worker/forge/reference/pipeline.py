"""`reference-models` from end to end: tokenizer, rows, labels, three trainings, export, examination, cards, manifests.

Finished stages are found in the work folder and not repeated, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from cloud_worker.forge import tokenizer
from cloud_worker.forge.distill import labels
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.recipes import VOCABULARY, ModelRecipe
from cloud_worker.forge.reference import finishing, preflight
from cloud_worker.forge.reference.run import Run, uses_labels
from cloud_worker.forge.reference.stages import Stage, Tell, quietly, run_stages
from cloud_worker.forge.training import corpus, launch, trunk
from edgewise.wire.manifest import sha256_file

__all__ = ["Run", "finish", "make", "make_tokenizer", "single_threaded", "train_tier"]

TOKENIZER_CONVERSATIONS: Final = 40_000
WEIGHTS: Final = "model.safetensors"
TEACHER: Final = "teacher.sha256"
"""Beside labels: the digest of the weights that made them."""
WORK_PER_SECOND: Final = 4e10
"""Parameters times tokens that two free cores train in a second: the progress bar's guess, nothing else."""


def make(run: Run, stage: str, console: Console | None = None) -> None:
    """Do what `stage` names: all, train, finish, or one tier. Raises PreflightError and its kin before any work."""
    everything = tuple(model.tier for model in run.recipe.models)
    tiers = () if stage == "finish" else everything if stage in ("all", "train") else (stage,)
    preflight.check(run, tiers, preflight.Room.at(run.work))
    if stage == "finish":
        preflight.check_all_trained(run)
    stages = [Stage("tokenizer", 20, lambda tell: make_tokenizer(run))]
    for tier in tiers:
        stages += tier_stages(run, run.recipe.model(tier))
    if stage in ("all", "finish"):
        stages += finishing.stages(run)
    run_stages(stages, console)


def make_tokenizer(run: Run) -> None:
    """Train and save the tokenizer, unless it is there."""
    run.work.mkdir(parents=True, exist_ok=True)
    if not run.tokenizer_file.exists():
        part = run.tokenizer_file.with_suffix(".part")
        tokenizer.train(run.recipe.seed, TOKENIZER_CONVERSATIONS, VOCABULARY).save(str(part))
        part.replace(run.tokenizer_file)


def tier_stages(run: Run, model: ModelRecipe) -> list[Stage]:
    """The stages of one model: its rows, its teacher's labels if it needs them, its training."""
    scaled, tier = run.scaled(model), model.tier
    size = preflight.parameters(model.config)
    stages = [Stage(f"{tier} rows", 5 + scaled.tokens / 500_000, partial(make_rows, run, model))]
    if scaled.lessons and uses_labels(scaled.lessons):
        teacher = preflight.parameters(run.recipe.model(scaled.lessons.teacher).config)
        seconds = 5 + teacher * scaled.lessons.taught_tokens / WORK_PER_SECOND
        stages.append(Stage(f"{tier} labels", seconds, partial(make_labels, run, model)))
    work = 30 + size * scaled.tokens / WORK_PER_SECOND
    return [*stages, Stage(f"{tier} training", work, partial(_train, run, model))]


def make_rows(run: Run, model: ModelRecipe, tell: Tell = quietly) -> None:
    """Draw and pack the rows of one training, unless they are there or it is done. No two models see the same rows."""
    path, scaled = run.rows(model.tier), run.scaled(model)
    taught = scaled.lessons.taught_tokens if scaled.lessons else 0
    tokens = max(1, scaled.tokens - taught)
    if run.trained(model.tier) or _as_many(path, tokens):
        return
    seed = run.recipe.seed * 10 + [one.tier for one in run.recipe.models].index(model.tier)
    rows = corpus.build(
        run.tokenizer_file, seed, tokens, run.recipe.workers, lambda n, of: tell(n / of, ""), model.emphasis
    )
    rows.save(path)


def _as_many(rows: Path, tokens: int) -> bool:
    """Whether rows are there, and made for so many tokens: another scale wants others. Raises CorpusFileError."""
    return rows.exists() and tokens <= corpus.Corpus.load(rows).tokens <= 1.05 * tokens + corpus.WIDTHS[-1]


def make_labels(run: Run, model: ModelRecipe, tell: Tell = quietly) -> None:
    """Have a model's teacher label the rows that all students share, unless the labels of these weights are there."""
    lessons = run.scaled(model).lessons
    if lessons is None or run.trained(model.tier):
        return
    tokens, weights = max(lessons.taught_tokens, lessons.on_policy_tokens), run.work / lessons.teacher / WEIGHTS
    marker, signed = (run.labels(lessons.teacher) / name for name in (labels.MARKER, TEACHER))
    digest = sha256_file(weights)
    if signed.exists() and signed.read_text(encoding="utf-8") == digest and _as_many(marker, tokens):
        return
    marker.unlink(missing_ok=True)
    rows = corpus.build(
        run.tokenizer_file, run.recipe.seed * 10 + 9, tokens, run.recipe.workers, emphasis=model.emphasis
    )
    teacher = Qwen2.load(run.work / lessons.teacher, device=run.device)
    done, whole = [0], sum(part.ids.size for part in rows.shelves)

    def progress(count: int) -> None:
        done[0] += count
        tell(done[0] / whole, f"{done[0]:,} tokens")

    one = trunk.compiled() if run.compile else trunk.lean_pass
    labels.save(run.labels(lessons.teacher), rows, labels.label(teacher, rows, run.device, one, progress))
    signed.write_text(digest, encoding="utf-8")


def train_tier(run: Run, model: ModelRecipe, tell: Tell = quietly) -> None:
    """Rows, labels and training of one model, unless its log says that it is done."""
    if not run.trained(model.tier):
        make_rows(run, model)
        make_labels(run, model)
        _train(run, model, tell)


def _train(run: Run, model: ModelRecipe, tell: Tell) -> None:
    if run.trained(model.tier):
        return
    smooth: list[float] = []

    def report(step: int, steps: int, loss: float) -> None:
        smooth[:] = [loss if not smooth else 0.95 * smooth[0] + 0.05 * loss]
        tell(step / steps, f"step {step}/{steps} loss {smooth[0]:.3f}")

    launch.train_model(run.job(model), report)
    run.rows(model.tier).unlink()


def finish(run: Run, console: Console) -> None:
    """Export, examine and describe the models; the result is complete model directories under `out`."""
    run_stages(finishing.stages(run), console)


def single_threaded() -> None:
    """Keep every library of this process and of its children on one thread (see team.py)."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        os.environ[name] = "false" if name.startswith("TOKEN") else "1"
