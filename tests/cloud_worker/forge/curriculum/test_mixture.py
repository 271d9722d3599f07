"""Every family, in both languages: drawn from a seed, judged right by its own check, and free of held-out phrasings."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

import pytest

from cloud_worker.forge.curriculum import (
    FAMILIES,
    Exercise,
    Family,
    FinalNumber,
    Language,
    Role,
    conversation,
    draw,
    examination,
)

DRAWS = 25
HAN = re.compile(r"[\u4e00-\u9fff]")
CELLS = [
    pytest.param(family, grade, language, id=f"{family.name}-{grade}-{language}")
    for family in FAMILIES
    for grade in sorted(set(family.grades))
    for language in Language
]


def drawn(family: Family, grade: int, language: Language, held_out: bool = False) -> list[Exercise]:
    rng = random.Random(f"{family.name} {grade} {language}")
    return [family.draw(rng, language, grade, held_out) for _ in range(DRAWS)]


def wrong_replies(exercise: Exercise, others: list[Exercise]) -> Iterator[str]:
    yield ""
    if isinstance(exercise.check, FinalNumber):
        yield str(exercise.check.expected + 1)
        return
    yield exercise.answer + " 0"
    yield exercise.answer[: len(exercise.answer) // 2]
    yield from (other.answer for other in others if other.answer.casefold() != exercise.answer.casefold())


def test_the_names_of_the_families_differ() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize(("family", "grade", "language"), CELLS)
def test_a_check_takes_its_own_answer_and_no_other(
    family: Family, grade: int, language: Language, held_out: bool
) -> None:
    exercises = drawn(family, grade, language, held_out)
    for exercise in exercises:
        assert exercise.check.accepts(exercise.answer), exercise
        assert not [reply for reply in wrong_replies(exercise, exercises) if exercise.check.accepts(reply)], exercise


@pytest.mark.parametrize(("family", "grade", "language"), CELLS)
def test_an_exercise_says_what_it_is(family: Family, grade: int, language: Language) -> None:
    for exercise in drawn(family, grade, language):
        assert (exercise.family, exercise.grade, exercise.language) == (family.name, grade, language)
        assert exercise.turns()[-2].role is Role.USER
        assert exercise.turns()[-1].content == exercise.answer


@pytest.mark.parametrize(("family", "grade", "language"), CELLS)
def test_questions_are_in_their_language(family: Family, grade: int, language: Language) -> None:
    chinese = [bool(HAN.search(exercise.question)) for exercise in drawn(family, grade, language)]
    assert any(chinese) if language is Language.CHINESE else not any(chinese)


def test_the_seed_decides_every_conversation() -> None:
    def some(seed: int) -> list[object]:
        rng = random.Random(seed)
        return [conversation(rng) for _ in range(300)]

    assert some(1) == some(1)
    assert some(1) != some(2)


def test_the_examination_has_as_many_exercises_in_each_cell() -> None:
    exercises = list(examination(5, 2, held_out=True))
    assert exercises == list(examination(5, 2, held_out=True))
    cells = [(one.family, one.grade, one.language) for one in exercises]
    assert [len(list(group)) for _, group in itertools.groupby(cells)] == [2] * len(CELLS)
    assert all(one.held_out for one in exercises)


def test_the_mix_has_every_family_in_both_languages() -> None:
    rng = random.Random(0)
    seen = {(exercise.family, exercise.language) for exercise in (draw(rng) for _ in range(3000))}
    assert seen == {(family.name, language) for family in FAMILIES for language in Language}


def test_training_never_asks_in_held_out_words() -> None:
    rng = random.Random(0)
    assert not any(draw(rng).held_out for _ in range(500))


def test_a_conversation_ends_with_an_answer_after_a_question() -> None:
    rng = random.Random(4)
    for _ in range(300):
        roles = [turn.role for turn in conversation(rng)]
        assert Role.SYSTEM not in roles[1:]
        spoken = [role for role in roles if role is not Role.SYSTEM]
        assert spoken == [Role.USER, Role.ASSISTANT] * (len(spoken) // 2)
