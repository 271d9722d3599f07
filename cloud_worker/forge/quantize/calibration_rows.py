"""Where calibration rows come from: the curriculum, drawn from a seed, or a user's file of prompts (JSON lines)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from cloud_worker.forge.curriculum import FAMILIES, Exercise, Language, draw
from cloud_worker.forge.quantize.calibration import CalibrationRow, CalibrationSet, CalibrationSetError
from cloud_worker.forge.quantize.composition import Composition, composition
from cloud_worker.forge.tokenizer import encode_chat
from edgewise.facts.language import language_of

SEED: Final = 770_001
ROWS: Final = 192
MIX_ROWS: Final = 1_200
ROW_TOKENS_MAX: Final = 1_024
FILE_BYTES_MAX: Final = 64 * 2**20


def drawn_rows(tokenizer: Tokenizer, count: int = ROWS, seed: int = SEED) -> CalibrationSet:
    """Rows of the training mix, each family in each language at least once; never a held-out phrasing."""
    rng = random.Random(f"calibration {seed}")
    each = [
        family.exercise(rng, language, rng.choice(family.grades), False) for family in FAMILIES for language in Language
    ]
    mixed = [draw(rng) for _ in range(max(0, count - len(each)))]
    return CalibrationSet.of([_row(tokenizer, exercise) for exercise in (*each, *mixed)])


def mix(tokenizer: Tokenizer, seed: int = SEED) -> Composition:
    """The composition of the training mix, by drawing from it."""
    rng = random.Random(f"mix {seed}")
    return composition(CalibrationSet.of([_row(tokenizer, draw(rng)) for _ in range(MIX_ROWS)]))


def _row(tokenizer: Tokenizer, exercise: Exercise) -> CalibrationRow:
    ids = tuple(encode_chat(tokenizer, exercise.turns()))[:ROW_TOKENS_MAX]
    return CalibrationRow(ids, exercise.language.value, exercise.family, exercise.task.value, exercise.grade)


def read_rows(path: Path, tokenizer: Tokenizer) -> CalibrationSet:
    """Rows of a JSON lines file: {"text", "language"?, "family"?, "task"?, "grade"?}; the language is estimated
    where it is left out. Raises CalibrationSetError naming the line."""
    return CalibrationSet.of(list(_rows_of(path, tokenizer)))


def _rows_of(path: Path, tokenizer: Tokenizer) -> Iterator[CalibrationRow]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _given_row(tokenizer, _object(line, path, number))


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, f"line {number} is no JSON ({error})") from error
    if not isinstance(given, dict) or not isinstance(given.get("text"), str) or not given["text"].strip():
        raise _unreadable(path, f'line {number} has no "text"')
    if type(given.get("grade", 0)) is not int or not all(isinstance(given.get(key, ""), str) for key in _WORDS):
        raise _unreadable(path, f"line {number}: language, family and task are words, grade is a whole number")
    return given


_WORDS: Final = ("language", "family", "task")


def _given_row(tokenizer: Tokenizer, given: dict[str, Any]) -> CalibrationRow:
    text = given["text"]
    ids = tuple(tokenizer.encode(text, add_special_tokens=False).ids)[:ROW_TOKENS_MAX]
    language = given.get("language") or language_of(text.lower())
    return CalibrationRow(ids, language, given.get("family", ""), given.get("task", ""), given.get("grade", 0))


def _unreadable(path: Path, why: str) -> CalibrationSetError:
    return CalibrationSetError(
        f"The calibration file cannot be used: {why}",
        where=str(path),
        expected='UTF-8 JSON lines such as {"text": "...", "language": "en"}',
        remedy="correct the file, or leave --calibration out",
    )
