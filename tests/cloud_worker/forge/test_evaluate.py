"""Judging: an oracle is always right, a silent model never, and groups add up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cloud_worker.forge import evaluate
from cloud_worker.forge.curriculum import Exercise, Language, examination
from cloud_worker.forge.tokenizer import encode_chat
from tests.factories.forge import small_tokenizer


class Oracle:
    """Knows the reference answer to every exercise of the examination."""

    def __init__(self, held_out: bool) -> None:
        self.answers = {self.key(one): one for one in examination(evaluate.EXAMINATION_SEED, 1, held_out)}

    @staticmethod
    def key(exercise: Exercise) -> tuple[int, ...]:
        return tuple(encode_chat(small_tokenizer(), exercise.turns()[:-1], generation_prompt=True))

    def complete(self, prompt: Sequence[int], limit: int) -> list[int]:
        answer = self.answers[tuple(prompt)].answer
        return list(small_tokenizer().encode(answer, add_special_tokens=False).ids)


class Silent:
    """Says nothing."""

    def complete(self, prompt: Sequence[int], limit: int) -> list[int]:
        return []


@pytest.mark.parametrize("held_out", [False, True])
def test_an_oracle_is_always_right(held_out: bool) -> None:
    marks = evaluate.examine(Oracle(held_out), small_tokenizer(), 1, held_out)
    assert all(mark.right for mark in marks)


def test_silence_is_never_right() -> None:
    judged: list[None] = []
    marks = evaluate.examine(Silent(), small_tokenizer(), 1, False, progress=lambda: judged.append(None))
    assert not any(mark.right for mark in marks)
    assert len(judged) == len(marks)


def test_the_limit_reaches_the_model() -> None:
    asked: list[int] = []

    class Asked(Silent):
        def complete(self, prompt: Sequence[int], limit: int) -> list[int]:
            asked.append(limit)
            return []

    evaluate.examine(Asked(), small_tokenizer(), 1, False, limit=7)
    assert set(asked) == {7}


def test_cells_count_right_answers() -> None:
    exercises = list(examination(1, 2, False))
    marks = [evaluate.Mark(one, "", index % 2 == 0) for index, one in enumerate(exercises)]
    cells = evaluate.tally(marks)
    assert {(cell.right, cell.total, cell.percent) for cell in cells.values()} == {(1, 2, 50.0)}
    grades = evaluate.by_grade(marks)
    assert sum(cell.total for cell in grades.values()) == len(marks)
    assert ("all", 1, Language.CHINESE) in grades
