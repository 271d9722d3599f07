"""From marks to findings: counts per cell, acceptance by larger tiers, agreement with the parent."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cloud_worker.forge.curriculum import Exercise
from cloud_worker.forge.evaluate.acceptance import Accepted
from cloud_worker.forge.evaluate.marks import Mark, chance
from edgewise.wire.findings import AcceptedFound, AgreementFound, CellFound, Making

_DIGITS = 4


def examination_digest(exercises: Iterable[Exercise]) -> str:
    """sha256 over every exercise's earlier turns, question and reference answer, in order."""
    digest = hashlib.sha256()
    for exercise in exercises:
        row = [exercise.family, exercise.grade, exercise.language, exercise.held_out]
        row += [[turn.role, turn.content] for turn in exercise.turns()]
        digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def cells_found(marks: Sequence[Mark]) -> tuple[CellFound, ...]:
    """Cells by family, grade, language and phrasing, in the order of the examination."""
    groups: dict[tuple[str, int, str, bool], list[Mark]] = defaultdict(list)
    for mark in marks:
        exercise = mark.exercise
        groups[exercise.family, exercise.grade, str(exercise.language), exercise.held_out].append(mark)
    return tuple(_cell(*key, group) for key, group in groups.items())


def _cell(family: str, grade: int, language: str, held_out: bool, marks: Sequence[Mark]) -> CellFound:
    nll = round(max(0.0, -sum(mark.answer_logprob for mark in marks)), _DIGITS)
    tokens, right = sum(mark.answer_tokens for mark in marks), sum(mark.right for mark in marks)
    level = round(chance([mark.exercise for mark in marks]), 1)
    return CellFound(family, grade, language, held_out, right, len(marks), level, tokens, nll)


def accepted_found(target: str, exercises: Sequence[Exercise], found: Sequence[Accepted]) -> tuple[AcceptedFound, ...]:
    """Acceptance by one larger tier, by grade and language."""
    groups: dict[tuple[int, str], list[Accepted]] = defaultdict(list)
    for exercise, one in zip(exercises, found, strict=True):
        groups[exercise.grade, str(exercise.language)].append(one)
    return tuple(AcceptedFound(target, *key, *_positions(group)) for key, group in sorted(groups.items()))


def _positions(found: Sequence[Accepted]) -> tuple[int, int, int]:
    hits = sum(sum(one.hits) for one in found)
    return hits, sum(len(one.hits) for one in found), sum(one.passes() for one in found)


def agreement_found(exercises: Sequence[Exercise], found: Sequence[Accepted]) -> tuple[AgreementFound, ...]:
    """Agreement with the parent's greedy replies, by language."""
    groups: dict[str, list[Accepted]] = defaultdict(list)
    for exercise, one in zip(exercises, found, strict=True):
        groups[str(exercise.language)].append(one)
    return tuple(AgreementFound(language, *_positions(group)[:2]) for language, group in sorted(groups.items()))


def making(log_file: Path, recipe: str, parameters: int, taught_by: str = "") -> Making:
    """How a model was made, from the log of its training (training/train.py)."""
    log: dict[str, Any] = json.loads(log_file.read_text(encoding="utf-8"))
    config = log["recipe"]["config"]
    return Making(
        recipe=recipe,
        seed=log["seed"],
        steps=log["steps"],
        tokens=log["tokens"],
        seconds=log["seconds"],
        device=log["device"],
        ranks=log["ranks"],
        torch=log["torch"],
        shape=_shape(config),
        parameters=parameters,
        context_tokens=config["max_position_embeddings"],
        taught_by=taught_by,
    )


def _shape(config: dict[str, Any]) -> str:
    layers, width, wide = config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"]
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    return f"{layers} layers, width {width}, MLP {wide}, {heads} heads, {shared} key-value heads"
