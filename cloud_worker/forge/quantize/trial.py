"""What every method is tried on: calibration rows, rows whose tokens are predicted, and exercises to be answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from cloud_worker.forge.curriculum import Exercise
from cloud_worker.forge.evaluate import EXAMINATION_SEED, answer_ids, prompt_ids, sample
from cloud_worker.forge.export.source import ModelSource
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.calibration_rows import drawn_rows, mix, read_rows
from cloud_worker.forge.quantize.composition import check_composition
from cloud_worker.forge.quantize.divergence import TrialRow
from cloud_worker.forge.tokenizer import END, SPECIALS
from cloud_worker.forge.tokenizer import checked as family_checked

TRIAL_SEED: Final = EXAMINATION_SEED + 1
TRIAL_ROWS: Final = 160
CONTEXT_MAX: Final = 2048


@dataclass(frozen=True)
class Trial:
    """`exercises` is empty for a model of another family: its tokenizer does not speak the curriculum's template."""

    tokenizer: Tokenizer
    end: int
    calibration: CalibrationSet
    rows: tuple[TrialRow, ...]
    exercises: tuple[Exercise, ...]
    capacity: int


def of_family(tokenizer: Tokenizer) -> bool:
    """Whether the special tokens are the reference family's."""
    return all(tokenizer.token_to_id(token) == place for place, token in enumerate(SPECIALS))


def make_trial(source: ModelSource, per_cell: int, calibration: Path | None = None, rows: int = TRIAL_ROWS) -> Trial:
    """The trial of a model, its calibration set checked against the curriculum's mix.

    A model of another family needs a calibration file; its last fifth, never used for ranges, is predicted instead of
    reference answers. Raises CalibrationSetError.
    """
    tokenizer = source.speech.tokenizer
    if not of_family(tokenizer):
        return _foreign(source, calibration)
    tokenizer = family_checked(tokenizer)
    taken = drawn_rows(tokenizer) if calibration is None else read_rows(calibration, tokenizer)
    check_composition(taken, mix(tokenizer))
    context = min(source.sizes.max_position_embeddings, CONTEXT_MAX)
    predicted = _spread([_answered(tokenizer, one) for one in sample(1, False, TRIAL_SEED)], rows, context)
    return Trial(tokenizer, source.speech.eos_ids[0], taken, predicted, tuple(sample(per_cell, False)), context)


def _answered(tokenizer: Tokenizer, exercise: Exercise) -> TrialRow:
    prompt = prompt_ids(tokenizer, exercise)
    return TrialRow((*prompt, *answer_ids(tokenizer, exercise), END), len(prompt))


def _spread(rows: Sequence[TrialRow], count: int, context: int) -> tuple[TrialRow, ...]:
    """At most `count` rows that fit the context, evenly taken."""
    fitting = [row for row in rows if len(row.ids) <= context]
    return tuple(fitting[:: max(1, len(fitting) // count)][:count])


def _foreign(source: ModelSource, calibration: Path | None) -> Trial:
    tokenizer = source.speech.tokenizer
    taken = read_rows(calibration, tokenizer) if calibration else CalibrationSet(())
    check_composition(taken, mix(tokenizer))
    kept = max(1, len(taken.rows) // 5)
    context = min(source.sizes.max_position_embeddings, CONTEXT_MAX)
    predicted = [TrialRow(row.ids, max(1, len(row.ids) // 4)) for row in taken.rows[-kept:] if len(row.ids) > 1]
    ranged = CalibrationSet(taken.rows[:-kept])
    return Trial(tokenizer, source.speech.eos_ids[0], ranged, _spread(predicted, TRIAL_ROWS, context), (), context)
