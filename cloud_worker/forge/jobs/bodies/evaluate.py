"""forge.evaluate: a model's marks on the curriculum, a portion of the exercises at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from cloud_worker.forge import tokenizer
from cloud_worker.forge.evaluate import Mark, judge, open_decoder, sample
from cloud_worker.forge.evaluate.decoder import Advance
from cloud_worker.forge.jobs.kinds import Bench
from cloud_worker.forge.jobs.stages import Progress, Stages
from edgewise.wire.forge_jobs import EvaluatePayload
from edgewise.wire.manifest import TOKENIZER_FILE, load_manifest

PORTION: Final = 128


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """What came of some exercises: [family, grade, language, right, total] each, and the likelihood (natural) of the
    reference answers' tokens."""

    cells: list[tuple[str, int, str, int, int]]
    answer_logprob: float
    answer_tokens: int


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """The examined version, its marks, and the perplexity of the reference answers (None without any)."""

    manifest_id: str
    held_out: bool
    right: int
    total: int
    perplexity: float | None
    cells: list[tuple[str, int, str, int, int]]


def evaluate(payload: EvaluatePayload, bench: Bench, progress: Progress) -> Evaluated:
    """Stage examine. Raises ModelMissingError, ManifestError, ModelDigestError, TokenizerFileError."""
    directory = Path(payload.model)
    manifest = load_manifest(directory)
    model, encoder = open_decoder(directory), tokenizer.load(directory / TOKENIZER_FILE)
    exercises = sample(payload.per_cell, payload.held_out)
    stages, found = Stages(bench.folder, progress), []
    for start in range(0, len(exercises), PORTION):
        advance = _counter(start, len(exercises), progress)
        some = exercises[start : start + PORTION]
        examine = partial(judge, model, encoder, some, payload.answer_tokens, advance)
        found.append(stages.piece(f"examine-{start:06}", Marks, partial(_examined, examine)))
        progress("examine", start + len(some), len(exercises))
    return _together(manifest.id, payload.held_out, found)


def _counter(start: int, total: int, progress: Progress) -> Advance:
    """Tells of exercises from `start` on."""
    done = start

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("examine", done, total)

    return advance


def _examined(examine: Callable[[], Sequence[Mark]]) -> Marks:
    return _counted(examine())


def _counted(marks: Sequence[Mark]) -> Marks:
    cells: dict[tuple[str, int, str], list[bool]] = {}
    for mark in marks:
        exercise = mark.exercise
        cells.setdefault((exercise.family, exercise.grade, exercise.language.value), []).append(mark.right)
    return Marks(
        cells=[(*key, sum(flags), len(flags)) for key, flags in cells.items()],
        answer_logprob=sum(mark.answer_logprob for mark in marks),
        answer_tokens=sum(mark.answer_tokens for mark in marks),
    )


def _together(manifest_id: str, held_out: bool, found: Sequence[Marks]) -> Evaluated:
    right: Counter[tuple[str, int, str]] = Counter()
    total: Counter[tuple[str, int, str]] = Counter()
    for family, grade, language, rights, count in (cell for marks in found for cell in marks.cells):
        right[family, grade, language] += rights
        total[family, grade, language] += count
    tokens = sum(marks.answer_tokens for marks in found)
    return Evaluated(
        manifest_id=manifest_id,
        held_out=held_out,
        right=right.total(),
        total=total.total(),
        perplexity=math.exp(-sum(marks.answer_logprob for marks in found) / tokens) if tokens else None,
        cells=[(*key, right[key], total[key]) for key in sorted(total)],
    )
