"""The items of the reference models' benchmark: exercises from examination seeds, judged in two processes.

What is counted over them lives in reference_rows.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from rich.progress import Progress, TaskID
from tokenizers import Tokenizer

from cloud_worker.forge import tokenizer
from cloud_worker.forge.curriculum import Exercise
from cloud_worker.forge.evaluate import CALIBRATION_SEED, Decoder, Mark, judge, open_decoder, prompt_ids, sample
from cloud_worker.forge.evaluate.acceptance import Accepted, accepted
from cloud_worker.forge.evaluate.torch_batch import length_class

PROCESSES: Final = 2
PART: Final = 256
LEAST: Final = 100
TEST, CALIBRATION = "test", "calibration"

Reply = tuple[tuple[int, ...], bool]
"""Ids of a reply, and whether it ended by itself."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many exercises: `per_cell` for each family, grade, language and kind of phrasing, and more where a family or
    a grade in one language would have fewer than `least`."""

    per_cell: int = 12
    least: int = LEAST


@cache
def exercises(effort: Effort, split: str) -> tuple[Exercise, ...]:
    """Test: known, then held-out phrasings. Calibration: known ones of another seed, half as many, for thresholds."""
    if split == CALIBRATION:
        return tuple(sample(max(2, effort.per_cell // 2), False, CALIBRATION_SEED))
    return tuple(
        exercise
        for held_out in (False, True)
        for exercise in sample(effort.per_cell, held_out, least_of_family=effort.least, least_of_grade=effort.least)
    )


@dataclass(frozen=True, slots=True)
class Part:
    """Some exercises (by place) of a split for one model."""

    home: Path
    model: str
    effort: Effort
    split: str
    places: tuple[int, ...]


@dataclass
class Sheets:
    """Everything that was judged: marks by model and split, in the order of `exercises`; acceptance by the cloud."""

    marks: dict[tuple[str, str], list[Mark]] = field(default_factory=dict)
    accepted: dict[str, list[Accepted]] = field(default_factory=dict)


@cache
def _decoder(folder: Path) -> Decoder:
    return open_decoder(folder)


@cache
def _encoder(path: Path) -> Tokenizer:
    return tokenizer.load(path)


def _single_threaded() -> None:
    import torch

    torch.set_num_threads(1)


def judge_part(part: Part) -> list[Mark]:
    """The marks of one part. Runs in a process of the pool; the model is loaded once in each."""
    chosen = [exercises(part.effort, part.split)[place] for place in part.places]
    folder = part.home / part.model
    return judge(_decoder(folder), _encoder(folder / "tokenizer.json"), chosen)


def accept_part(part: Part, said: Sequence[Reply], own: Sequence[tuple[int, ...] | None]) -> list[Accepted]:
    """The model's view of the cloud's replies to one part."""
    folder = part.home / part.model
    drawn, encoder = exercises(part.effort, part.split), _encoder(folder / "tokenizer.json")
    prompts = [prompt_ids(encoder, drawn[place]) for place in part.places]
    replies, whole = [ids for ids, _ in said], [ended for _, ended in said]
    return accepted(_decoder(folder), prompts, replies, own, ended=whole)


def parts(home: Path, model: str, effort: Effort, split: str, size: int = PART) -> list[Part]:
    """A split cut into parts of exercises with texts of like length, so that batches waste little."""
    drawn = exercises(effort, split)
    said = [sum(len(turn.content) for turn in exercise.turns()) for exercise in drawn]
    order = sorted(range(len(drawn)), key=lambda i: (length_class(said[i]), len(drawn[i].answer), i))
    cut = [tuple(order[start : start + size]) for start in range(0, len(order), size)]
    return [Part(home, model, effort, split, places) for places in cut]


def examine(home: Path, models: Mapping[str, Sequence[str]], effort: Effort, target: str, bar: Progress) -> Sheets:
    """Judge each model on its splits, then each other model's view of the target's replies to the test."""
    os.environ["OMP_NUM_THREADS"] = "1"
    sheets = Sheets()
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), _single_threaded) as pool:
        sat = [(name, split) for name, splits in models.items() for split in splits]
        asked = [part for name, split in sat for part in reversed(parts(home, name, effort, split))]
        task = bar.add_task("examining", total=sum(len(part.places) for part in asked))
        _gather(sheets, {pool.submit(judge_part, part): part for part in asked}, bar, task)
        if (target, TEST) in sheets.marks:
            drafts = [name for name, splits in models.items() if name != target and TEST in splits]
            views = dict(_views(pool, sheets, home, drafts, effort, target))
            task = bar.add_task("drafting", total=sum(len(part.places) for part in views.values()))
            _gather_views(sheets, views, bar, task)
    return sheets


def _views(
    pool: ProcessPoolExecutor, sheets: Sheets, home: Path, drafts: Sequence[str], effort: Effort, target: str
) -> Iterator[tuple[Future[list[Accepted]], Part]]:
    said = sheets.marks[target, TEST]
    for name in drafts:
        mine = sheets.marks[name, TEST]
        for part in parts(home, name, effort, TEST):
            own = [mine[place].ids if mine[place].ended else None for place in part.places]
            replies = [(said[place].ids, said[place].ended) for place in part.places]
            yield pool.submit(accept_part, part, replies, own), part


def _gather(sheets: Sheets, running: Mapping[Future[list[Mark]], Part], bar: Progress, task: TaskID) -> None:
    found: dict[tuple[str, str], dict[int, Mark]] = {}
    for future in as_completed(running):
        part = running[future]
        found.setdefault((part.model, part.split), {}).update(zip(part.places, future.result(), strict=True))
        bar.advance(task, len(part.places))
    sheets.marks |= {key: [marks[place] for place in sorted(marks)] for key, marks in found.items()}


def _gather_views(sheets: Sheets, running: Mapping[Future[list[Accepted]], Part], bar: Progress, task: TaskID) -> None:
    found: dict[str, dict[int, Accepted]] = {}
    for future in as_completed(running):
        part = running[future]
        found.setdefault(part.model, {}).update(zip(part.places, future.result(), strict=True))
        bar.advance(task, len(part.places))
    sheets.accepted |= {model: [views[place] for place in sorted(views)] for model, views in found.items()}
