"""Judging: one who knows is always right, a silent model never; limits, contexts and likelihoods are kept."""

from __future__ import annotations

import math

import pytest

from cloud_worker.forge import evaluate
from cloud_worker.forge.curriculum import Exact, Exercise, FinalNumber, Language
from cloud_worker.forge.evaluate.examining import sample
from tests.cloud_worker.forge.evaluate.scripted import SURE, Scripted, knowing, silent
from tests.factories.forge import small_tokenizer

ENCODER = small_tokenizer()


def sum_of(a: int, b: int) -> Exercise:
    """A small exercise that every curriculum could have."""
    text = str(a + b)
    return Exercise("sum", 1, Language.ENGLISH, f"What is {a} + {b}?", text, FinalNumber(a + b), False)


SUMS = [sum_of(a, b) for a in range(3) for b in range(3)]


@pytest.mark.parametrize("held_out", [False, True])
def test_one_who_knows_is_always_right(held_out: bool) -> None:
    exercises = sample(1, held_out)
    assert all(mark.right for mark in evaluate.judge(knowing(exercises), ENCODER, exercises, limit=10_000))


def test_silence_is_never_right_and_everything_is_counted() -> None:
    done: list[int] = []
    marks = evaluate.judge(silent(), ENCODER, SUMS, advance=done.append)
    assert not any(mark.right for mark in marks)
    assert sum(done) == len(marks) == len(SUMS)


def test_a_reply_that_does_not_end_is_wrong() -> None:
    knows = knowing(SUMS)
    knows.cuts = True
    assert not any(mark.right for mark in evaluate.judge(knows, ENCODER, SUMS))


def test_a_mark_tells_how_sure_the_model_was() -> None:
    (mark,) = evaluate.judge(knowing(SUMS), ENCODER, SUMS[:1])
    assert (mark.n_tokens, mark.mean_logprob, mark.min_logprob) == (2, SURE, SURE)
    assert mark.answer_tokens == 2
    assert mark.answer_logprob == pytest.approx(2 * SURE)


def test_the_likelihood_of_an_answer_already_given_is_not_asked_for_again() -> None:
    knows, mute = knowing(SUMS), silent()
    evaluate.judge(knows, ENCODER, SUMS)
    marks = evaluate.judge(mute, ENCODER, SUMS)
    assert (knows.forced, mute.forced) == (0, len(SUMS))
    assert evaluate.perplexity(marks) == pytest.approx(math.exp(-2 * SURE))


@pytest.mark.parametrize(("limit", "expected"), [(7, 7), (420, 26)])
def test_a_reply_may_be_somewhat_longer_than_the_answer(limit: int, expected: int) -> None:
    model = silent()
    evaluate.judge(model, ENCODER, SUMS[:1], limit)
    assert model.limits == [expected]


def test_an_exercise_that_does_not_fit_is_wrong_and_never_asked() -> None:
    two_digits = sum_of(6, 6)
    model = Scripted(lambda prompt: (), context_tokens=len(evaluate.prompt_ids(ENCODER, two_digits)) + 2)
    done: list[int] = []
    (mark,) = evaluate.judge(model, ENCODER, [two_digits], advance=done.append)
    assert (mark.right, mark.n_tokens, mark.answer_tokens, model.limits, sum(done)) == (False, 0, 0, [], 1)


def test_more_are_drawn_where_a_group_would_be_small() -> None:
    few, many = sample(1, False), sample(1, False, least_of_family=9, least_of_grade=0)
    families = {exercise.family for exercise in few}
    counts = {name: sum(exercise.family == name for exercise in many) for name in families}
    assert min(counts.values()) >= 9
    assert {exercise.question for exercise in many}
    grades = sample(1, False, least_of_grade=60)
    for grade in (1, 2, 3, 4):
        for language in Language:
            assert sum((e.grade, e.language) == (grade, language) for e in grades) >= 60


def test_chance_is_the_commonest_answer() -> None:
    exercises = [
        Exercise("yes", 1, Language.ENGLISH, str(place), answer, Exact(answer), False)
        for place, answer in enumerate(("yes", "yes", "no", "maybe"))
    ]
    assert evaluate.chance(exercises) == 50.0
    assert evaluate.chance([]) == 0.0


def test_cells_count_right_answers() -> None:
    marks = [evaluate.Mark(one, "", place % 3 == 0) for place, one in enumerate(SUMS)]
    assert evaluate.tally(marks) == {("sum", 1, Language.ENGLISH): evaluate.Cell(3, 9)}
    assert evaluate.by_grade(marks)["all", 1, Language.ENGLISH].percent == pytest.approx(100 / 3)
    assert evaluate.perplexity([]) == math.inf
