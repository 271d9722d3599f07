"""Every family, in both languages: drawn from a seed, judged right by its own check, and free of held-out phrasings."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from cloud_worker.forge.curriculum import (
    EVEN,
    FAMILIES,
    MIX,
    Emphasis,
    Exact,
    Exercise,
    Family,
    FinalNumber,
    Kind,
    Language,
    Role,
    Turn,
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
    return [family.exercise(rng, language, grade, held_out) for _ in range(DRAWS)]


def wrong_replies(exercise: Exercise, others: list[Exercise]) -> Iterator[str]:
    yield ""
    if isinstance(exercise.check, FinalNumber):
        yield str(exercise.check.expected + 1)
        return
    yield exercise.answer + " 0"
    if isinstance(exercise.check, Exact):
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
    mixed = family.name == "messy" and grade == 3
    assert any(chinese) if language is Language.CHINESE or mixed else not any(chinese)


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
    seen = {(exercise.family, exercise.language) for exercise in (draw(rng) for _ in range(8000))}
    assert seen == {(family.name, language) for family in FAMILIES for language in Language}


def test_the_mix_holds() -> None:
    rng = random.Random(0)
    found = Counter(draw(rng).kind for _ in range(6000))
    assert MIX == {Kind.SINGLE: 40, Kind.MULTI: 30, Kind.TASK: 20, Kind.EDGE_CASE: 10}
    for kind, percent in MIX.items():
        assert abs(100 * found[kind] / 6000 - percent) < 2.5, (kind, found)


def test_multi_turn_exercises_have_earlier_turns_and_no_others_do() -> None:
    rng = random.Random(3)
    for exercise in (draw(rng) for _ in range(2000)):
        assert bool(exercise.earlier) is (exercise.kind is Kind.MULTI), exercise


def test_harder_grades_come_more_often() -> None:
    rng = random.Random(1)
    families = {family.name for family in FAMILIES if set(family.grades) == {1, 2, 3, 4}}
    found = Counter(one.grade for one in (draw(rng) for _ in range(4000)) if one.family in families)
    assert found[1] < found[2]
    assert found[1] < found[3]
    assert found[1] < found[4]


def test_an_emphasis_shifts_the_grades_and_nothing_else() -> None:
    rng = random.Random(1)
    graded = {family.name for family in FAMILIES if set(family.grades) == {1, 2, 3, 4}}
    drawn = [draw(rng, emphasis=(8, 3, 2, 1)) for _ in range(4000)]
    found = Counter(one.grade for one in drawn if one.family in graded)
    assert found[1] > found[2] > found[3] > found[4] > 0
    assert {one.family for one in drawn} == {family.name for family in FAMILIES}
    kinds = Counter(one.kind for one in drawn)
    assert all(abs(100 * kinds[kind] / 4000 - percent) < 3 for kind, percent in MIX.items()), kinds


def test_an_even_emphasis_draws_what_none_does() -> None:
    def conversations(**given: Emphasis) -> list[tuple[Turn, ...]]:
        rng = random.Random(5)
        return [conversation(rng, **given) for _ in range(200)]

    assert conversations() == conversations(emphasis=EVEN)
    assert conversations() != conversations(emphasis=(8, 3, 2, 1))


def test_some_training_exercises_have_personal_data_beside_them() -> None:
    rng = random.Random(1)
    assert 60 < sum(draw(rng).sensitive for _ in range(4000)) < 200


def test_training_never_meets_the_hard_exercises_of_the_examination() -> None:
    rng = random.Random("corpus 7 0")
    seen = {exercise.question for exercise in (draw(rng) for _ in range(5000)) if exercise.grade == 4}
    open_sets = {"extract", "lookup", "relation", "json", "home", "sum", "chain", "sort", "tally", "translate"}
    asked = {
        one.question for one in examination(990_001, 8, held_out=False) if one.family in open_sets and one.grade == 4
    }
    assert asked
    assert not asked & seen


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_says_its_chance_and_its_task(family: Family) -> None:
    assert 0 <= family.chance <= 1
    assert all(one.task is family.task for one in drawn(family, min(family.grades), Language.ENGLISH))


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
