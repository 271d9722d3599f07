"""Judging a model: greedy answers, exact match by family, grade, language and phrasings that training saw or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer

from cloud_worker.engine.models.qwen2 import Qwen2
from cloud_worker.forge.curriculum import Exercise, Language, examination
from cloud_worker.forge.decoding import Greedy, Logits, OnnxGreedy
from cloud_worker.forge.tokenizer import encode_chat

EXAMINATION_SEED: Final = 990_001
ANSWER_LIMIT: Final = 420


@dataclass(frozen=True, slots=True)
class Mark:
    """One judged exercise."""

    exercise: Exercise
    reply: str
    right: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """Right answers out of all, for one group."""

    right: int
    total: int

    @property
    def percent(self) -> float:
        """Share of right answers, in percent."""
        return 100 * self.right / self.total


def answer(model: Greedy, tokenizer: Tokenizer, exercise: Exercise, limit: int = ANSWER_LIMIT) -> Mark:
    """Ask the model, greedily, for at most `limit` tokens, and judge its reply."""
    prompt = encode_chat(tokenizer, exercise.turns()[:-1], generation_prompt=True)
    reply = tokenizer.decode(model.complete(prompt, limit))
    return Mark(exercise, reply, exercise.check.accepts(reply))


def examine(
    model: Greedy,
    tokenizer: Tokenizer,
    per_cell: int,
    held_out: bool,
    limit: int = ANSWER_LIMIT,
    progress: Callable[[], None] = lambda: None,
) -> list[Mark]:
    """`per_cell` exercises for each family, grade and language, from a seed that training never uses."""
    marks = []
    for exercise in examination(EXAMINATION_SEED, per_cell, held_out):
        marks.append(answer(model, tokenizer, exercise, limit))
        progress()
    return marks


Key = tuple[str, int, Language]


def tally(
    marks: Iterable[Mark], key: Callable[[Exercise], Key] = lambda e: (e.family, e.grade, e.language)
) -> dict[Key, Cell]:
    """Cells by family, grade and language (or by another key)."""
    groups: dict[Key, list[bool]] = defaultdict(list)
    for mark in marks:
        groups[key(mark.exercise)].append(mark.right)
    return {group: Cell(sum(flags), len(flags)) for group, flags in sorted(groups.items())}


def by_grade(marks: Iterable[Mark]) -> dict[Key, Cell]:
    """Cells by grade and language over all families."""
    return tally(marks, lambda exercise: ("all", exercise.grade, exercise.language))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often the exported graph picks torch's token, over `rows` answer positions, and the largest logit gap."""

    rows: int
    argmax: float
    largest_gap: float


def agreement(onnx: OnnxGreedy, torch_model: Qwen2, tokenizer: Tokenizer, exercises: int) -> Agreement:
    """Compare both on every answer position of `exercises` conversations, fed token by token as in decoding."""
    same, rows, gap = 0, 0, 0.0
    everything = list(examination(EXAMINATION_SEED + 1, 4, held_out=False))
    for exercise in everything[:: max(1, len(everything) // exercises)]:
        prompt = encode_chat(tokenizer, exercise.turns()[:-1], generation_prompt=True)
        ids = [*prompt, *tokenizer.encode(exercise.answer, add_special_tokens=False).ids]
        expected = _torch_rows(torch_model, ids)[len(prompt) - 1 :]
        found = _rows(onnx, prompt, ids[len(prompt) :])
        same += int((found.argmax(-1) == expected.argmax(-1)).sum())
        rows += len(expected)
        gap = max(gap, float(np.abs(found - expected).max()))
    return Agreement(rows, same / rows, gap)


@torch.inference_mode()
def _torch_rows(model: Qwen2, ids: list[int]) -> Logits:
    logits: Logits = model(torch.tensor([ids]), torch.arange(len(ids))[None])[0].float().numpy()
    return logits


def _rows(onnx: OnnxGreedy, prompt: list[int], rest: list[int]) -> Logits:
    logits, past = onnx.run(prompt, onnx.empty_cache(), 0)
    rows = [logits[0, -1]]
    for index, token in enumerate(rest):
        logits, past = onnx.run([token], past, len(prompt) + index)
        rows.append(logits[0, -1])
    return np.stack(rows)
