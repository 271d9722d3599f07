"""`python -m cloud_worker.forge ablate`: train short students of a finished teacher and write the table."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Final

from cloud_worker.forge.card import add_tables, markdown
from cloud_worker.forge.distill import labels
from cloud_worker.forge.distill.ablation import VARIANTS, Bench, Outcome, ablate, distinct, table
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.recipes import RECIPES
from cloud_worker.forge.training import corpus, trunk
from cloud_worker.forge.training.train import Job

SEED: Final = 31


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("--recipe", choices=sorted(RECIPES), default="cpu", help="whose shapes and rates")
    command.add_argument("--work", type=Path, default=None, help="work folder with the trained teacher")
    command.add_argument("--student", default="edge", help="tier of the student; its teacher is the recipe's")
    command.add_argument("--tokens", type=int, default=1_000_000, help="tokens of each student")
    command.add_argument("--paper", type=int, default=6, help="development exercises a family, grade and language")
    command.add_argument("--variants", default="", help="names separated by semicolons; all when left out")
    command.add_argument("--ranks", type=int, default=None, help="processes of one training (default: the recipe's)")
    command.add_argument("--no-compile", action="store_true", help="do not use torch.compile")
    command.add_argument("--out", type=Path, default=None, help="the table's file (default beside the students)")
    command.add_argument("--card", type=Path, default=None, help="a model directory whose card gets the table")


def run(given: argparse.Namespace) -> int:
    """Train the students that are not there yet, and write the table; returns the exit status."""
    work = given.work or Path("build") / f"forge-{given.recipe}"
    recipe = RECIPES[given.recipe].model(given.student)
    teacher = recipe.lessons.teacher if recipe.lessons else "cloud"
    names = {name.strip() for name in given.variants.split(";") if name.strip()}
    asked = (one for one in distinct(VARIANTS, teacher) if not names or one.name in names or one.name == "plain")
    chosen = tuple(asked)
    teachers = sorted({one.teacher or teacher for one in chosen})
    if missing := [tier for tier in teachers if not (work / tier / "model.safetensors").exists()]:
        said = f"expected a trained {missing[0]} model; train it first, or name its --work"
        print(f"{work / missing[0]}: {said}", file=sys.stderr)
        return 2
    folder = work / "ablation" / f"{given.student}-{given.tokens}"
    job = Job(
        dataclasses.replace(recipe, lessons=None),
        folder / "rows.npz",
        folder,
        SEED,
        "cpu",
        not given.no_compile,
        given.ranks or RECIPES[given.recipe].ranks,
        checkpoint_every=10**9,
        tokenizer=work / "tokenizer.json",
        paper_per_cell=given.paper,
    )
    bench = Bench(job, teacher, work)
    label_seconds = {tier: _prepare(bench, tier, given.tokens) for tier in teachers}
    outcomes = ablate(bench, chosen, given.tokens, _say)
    found = table(outcomes, label_seconds, {"student": given.student, "teacher": teacher, "seed": SEED})
    text = f"{found.text}\n\n{markdown(found.head, found.rows)}\n"
    (given.out or folder / "table.md").write_text(text, encoding="utf-8")
    print(text)
    if given.card:
        add_tables(given.card, [found])
    return 0


def _say(outcome: Outcome) -> None:
    print(f"{outcome.variant}, {outcome.budget}: {outcome.by_grade}, {outcome.seconds:.0f} s", file=sys.stderr)


def _prepare(bench: Bench, teacher: str, tokens: int) -> float:
    """Make rows and a teacher's labels unless they are there; returns the seconds that the labels took."""
    encoder, rows_file, folder = bench.models / "tokenizer.json", bench.job.corpus, bench.labels(teacher)
    folder.mkdir(parents=True, exist_ok=True)
    if not rows_file.exists():
        corpus.build(encoder, SEED, tokens, 1).save(rows_file)
    timed = folder / "seconds"
    if not timed.exists():
        rows = corpus.build(encoder, SEED + 1, tokens, 1)
        started = time.monotonic()
        found = labels.label(Qwen2.load(bench.models / teacher), rows, one=trunk.lean_pass)
        timed_text = f"{time.monotonic() - started:.1f}"
        labels.save(folder, rows, found)
        timed.write_text(timed_text, encoding="utf-8")
    return float(timed.read_text(encoding="utf-8"))
