"""The examination: exercises from seeds that training never uses, asked greedily, judged by their own checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tokenizers import Tokenizer

from cloud_worker.forge.curriculum import Exercise, examination
from cloud_worker.forge.evaluate.decoder import Advance, Decoder, Said, no_progress
from cloud_worker.forge.evaluate.marks import Mark
from cloud_worker.forge.tokenizer import encode_chat

EXAMINATION_SEED: Final = 990_001
CALIBRATION_SEED: Final = 880_001
ANSWER_LIMIT: Final = 420
_LIMIT_SPARE: Final = 24


def sample(
    per_cell: int, held_out: bool, seed: int = EXAMINATION_SEED, *, least_of_family: int = 0, least_of_grade: int = 0
) -> list[Exercise]:
    """`per_cell` exercises for each family, grade and language.

    More of them where a family in all, or all families of one grade and language, would have fewer than the least.
    """
    cells = _cells(examination(seed, per_cell, held_out))
    wanted = dict.fromkeys(cells, per_cell)
    for family in {key[0] for key in cells}:
        _raise(wanted, [key for key in cells if key[0] == family], least_of_family)
    for group in {key[1:] for key in cells}:
        _raise(wanted, [key for key in cells if key[1:] == group], least_of_grade)
    if (most := max(wanted.values(), default=0)) > per_cell:
        cells = _cells(examination(seed, most, held_out))
    return [exercise for key, drawn in cells.items() for exercise in drawn[: wanted[key]]]


def _cells(exercises: Iterable[Exercise]) -> dict[tuple[str, int, str], list[Exercise]]:
    cells: dict[tuple[str, int, str], list[Exercise]] = defaultdict(list)
    for exercise in exercises:
        cells[exercise.family, exercise.grade, exercise.language].append(exercise)
    return cells


def _raise(wanted: dict[tuple[str, int, str], int], keys: Sequence[tuple[str, int, str]], least: int) -> None:
    """Ask each of these cells for its part of `least`."""
    part = -(-least // len(keys))
    for key in keys:
        wanted[key] = max(wanted[key], part)


def prompt_ids(tokenizer: Tokenizer, exercise: Exercise) -> list[int]:
    """The conversation up to the assistant's turn, in the chat template."""
    return encode_chat(tokenizer, exercise.turns()[:-1], generation_prompt=True)


def answer_ids(tokenizer: Tokenizer, exercise: Exercise) -> list[int]:
    """The reference answer without its end token."""
    ids: list[int] = tokenizer.encode(exercise.answer, add_special_tokens=False).ids
    return ids


def judge(
    model: Decoder,
    tokenizer: Tokenizer,
    exercises: Sequence[Exercise],
    limit: int = ANSWER_LIMIT,
    advance: Advance = no_progress,
) -> list[Mark]:
    """Ask every exercise and judge the replies; `advance(n)` is told of every n that are answered.

    A reply may take twice the reference answer's tokens and a few more, at most `limit`; cut off, it is wrong, as is an
    exercise whose prompt and answer do not fit into the context. The reference answer's likelihood costs no second look
    where the reply is that answer.
    """
    papers = [_Paper.of(tokenizer, exercise, limit, model.context_tokens) for exercise in exercises]
    fitting = [paper for paper in papers if paper.limit > 0]
    advance(len(papers) - len(fitting))
    said = model.complete([paper.prompt for paper in fitting], [paper.limit for paper in fitting], advance)
    likelihoods = _likelihoods(model, fitting, said)
    rows = zip(fitting, said, likelihoods, strict=True)
    found = {id(paper): _mark(tokenizer, paper.exercise, one, likelihood) for paper, one, likelihood in rows}
    return [found.get(id(paper)) or Mark(paper.exercise, "", False) for paper in papers]


@dataclass(frozen=True, slots=True)
class _Paper:
    """An exercise in ids, and the most ids that a reply may take; none where the context is too small."""

    exercise: Exercise
    prompt: list[int]
    answer: list[int]
    limit: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, exercise: Exercise, limit: int, context_tokens: int) -> _Paper:
        prompt, answer = prompt_ids(tokenizer, exercise), answer_ids(tokenizer, exercise)
        room = context_tokens - len(prompt) - 1
        fits = len(answer) <= room
        return cls(exercise, prompt, answer, min(limit, 2 * len(answer) + _LIMIT_SPARE, room) if fits else 0)


def examine(
    model: Decoder,
    tokenizer: Tokenizer,
    per_cell: int,
    held_out: bool,
    limit: int = ANSWER_LIMIT,
    advance: Advance = no_progress,
) -> list[Mark]:
    """Judge `per_cell` exercises for each family, grade and language, in known or in held-out phrasings."""
    return judge(model, tokenizer, sample(per_cell, held_out), limit, advance)


def _likelihoods(model: Decoder, papers: Sequence[_Paper], said: Sequence[Said]) -> list[tuple[float, ...]]:
    """Log-probabilities of every reference answer's tokens, the end token last."""
    found = {i: one.logprobs for i, one in enumerate(said) if one.ended and list(one.ids) == papers[i].answer}
    open_places = [index for index in range(len(said)) if index not in found]
    forced = model.force([papers[i].prompt for i in open_places], [papers[i].answer for i in open_places])
    found |= {index: one.logprobs for index, one in zip(open_places, forced, strict=True)}
    return [found[index] for index in range(len(said))]


def _mark(tokenizer: Tokenizer, exercise: Exercise, said: Said, likelihood: Sequence[float]) -> Mark:
    reply = tokenizer.decode(list(said.ids))
    count = len(said.logprobs)
    return Mark(
        exercise,
        reply,
        said.ended and exercise.check.accepts(reply),
        said.ids,
        count,
        sum(said.logprobs) / count if count else 0.0,
        min(said.logprobs, default=0.0),
        sum(likelihood),
        len(likelihood),
    )
