"""`python -m benchmarks.cloud_weights`: what rounded weights cost a model, by the gates that every version must pass.

The cloud engine answers the examination with its weights as they are stored, in float32, and with each kind of rounded
ones; perplexity, right answers and words are compared in each language. Deterministic on a machine.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch

from benchmarks.report import Floor, Report, Row, machine, row, show
from cloud_worker.engine.model.linear import AS_STORED, KINDS
from cloud_worker.forge.card.collect import agreement_found, cells_found, examination_digest
from cloud_worker.forge.card.measure import Examination
from cloud_worker.forge.evaluate import Mark, judge
from cloud_worker.forge.evaluate.acceptance import accepted
from cloud_worker.forge.evaluate.decoder import Advance, no_progress
from cloud_worker.forge.evaluate.engine_rows import EngineRows
from cloud_worker.forge.evaluate.progress import progress_bar
from cloud_worker.forge.tokenizer import load as load_tokenizer
from edgewise.wire.findings import Findings, ParentFound, accuracy, perplexity
from edgewise.wire.gates import Gate, gates_of
from edgewise.wire.manifest import Manifest, load_manifest

MODEL: Final = Path(__file__).parents[1] / "reference_models" / "cloud"
PRECISION: Final = "bfloat16"
"""Of everything but the rounded weights; the weights as they are stored are looked at in it, too."""
EACH: Final = 3
_STORED: Final = "as stored, float32"


@dataclass(frozen=True)
class Trial:
    """A model directory, its examination, and what its stored weights say in float32."""

    directory: Path
    manifest: Manifest
    examination: Examination
    stored: Sequence[Mark]


def sat(trial_of: Path, each: int, advance: Advance = no_progress) -> Trial:
    """Let the stored weights sit an examination of `each` exercises a cell."""
    manifest = load_manifest(trial_of)
    examination = Examination.drawn(load_tokenizer(trial_of / "tokenizer.json"), each)
    stored = EngineRows.load(trial_of, manifest.eos_ids[0], "float32", AS_STORED)
    marks = judge(stored, examination.tokenizer, examination.exercises, examination.limit, advance)
    return Trial(trial_of, manifest, examination, marks)


def findings(trial: Trial, kind: str, advance: Advance = no_progress) -> Findings:
    """What a kind of weights is found to do, beside the stored ones as its parent."""
    manifest, exercises = trial.manifest, trial.examination.exercises
    model = EngineRows.load(trial.directory, manifest.eos_ids[0], PRECISION, kind)
    marks = judge(model, trial.examination.tokenizer, exercises, trial.examination.limit, advance)
    replies, ended = [mark.ids for mark in trial.stored], [mark.ended for mark in trial.stored]
    own = [mark.ids if mark.ended else None for mark in marks]
    agreed = accepted(model, trial.examination.prompts, replies, own, ended=ended)
    stored = ParentFound(name=_STORED, weights_digest=manifest.weights_digest, cells=cells_found(trial.stored))
    return Findings(
        name=f"{manifest.name}, {kind}",
        tier=manifest.tier,
        runtime=f"cloud engine, {PRECISION}",
        weights_digest=manifest.weights_digest,
        weights_bytes=model.weight_bytes,
        tokenizer_digest=manifest.tokenizer_digest,
        template_digest=manifest.template_digest,
        examination=examination_digest(exercises),
        examination_seed=trial.examination.seed,
        cells=cells_found(marks),
        agreement=agreement_found(exercises, agreed),
        parent=stored,
    )


def rows(kind: str, found: Findings) -> Iterator[Row]:
    """Bytes and, in each language, perplexity, right answers and gates of one kind."""
    count = sum(cell.total for cell in found.cells)
    yield row("matrices", kind, "MB", "lower", found.weights_bytes / 1e6, samples=count)
    assert found.parent is not None
    for language in found.languages():
        mine, theirs = ([c for c in cells if c.language == language] for cells in (found.cells, found.parent.cells))
        where, count = f"{kind}, {language}", sum(cell.total for cell in mine)
        unsure, right = [perplexity(cells) for cells in (mine, theirs)], [100 * accuracy(c) for c in (mine, theirs)]
        yield row("answer perplexity", where, "", "lower", unsure[0], peer=_STORED, peer_value=unsure[1], samples=count)
        yield row("right answers", where, "%", "higher", right[0], peer=_STORED, peer_value=right[1], samples=count)
    yield from map(partial(_gate, kind), gates_of(found))


def _gate(kind: str, gate: Gate) -> Row:
    return row(
        f"gate: {gate.name}",
        f"{kind}, {gate.language}",
        "",
        "lower" if gate.at_most else "higher",
        math.nan if gate.found is None else gate.found,
        floor=Floor("ours", "<=" if gate.at_most else ">=", gate.limit),
        reason=gate.reason,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything and print it."""
    given = _parser().parse_args(arguments)
    torch.set_num_threads(given.threads)
    with progress_bar() as bar:
        task = bar.add_task("examining", total=None)
        trial = sat(given.model, given.per_cell, lambda count: bar.advance(task, count))
        bar.update(task, total=len(trial.examination.exercises) * (1 + len(given.weights or KINDS)))
        table = [
            each
            for kind in given.weights or KINDS
            for each in rows(kind, findings(trial, kind, lambda count: bar.advance(task, count)))
        ]
    show(Report("cloud weights", machine(), table), as_json=given.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cloud_weights", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--model", type=Path, default=MODEL, help="a model directory of the reference family")
    parser.add_argument("--weights", action="append", choices=KINDS, help="this kind; may be given again. Default: all")
    parser.add_argument("--per-cell", type=int, default=EACH, help="exercises a family, grade, language and phrasing")
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
