"""The families of numbers and lists: answers are right by another way of working them out, short, and repeatable."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.forge.curriculum import (
    Exercise,
    FinalNumber,
    Language,
    clock,
    compare,
    convert,
    counting,
    expressions,
    lists,
    sums,
)
from cloud_worker.forge.curriculum.clock import draw_clock, later, weekday
from cloud_worker.forge.curriculum.compare import compared, draw_compare
from cloud_worker.forge.curriculum.conclusions import Sequence, conclusion
from cloud_worker.forge.curriculum.convert import UNITS, Unit, compound, down, draw_convert, up
from cloud_worker.forge.curriculum.counting import counted, draw_count, draw_pick, draw_tally, tallied
from cloud_worker.forge.curriculum.expressions import draw_expr, expression
from cloud_worker.forge.curriculum.lists import draw_copy, draw_reverse, draw_sort, insertions
from cloud_worker.forge.curriculum.phrasing import Form
from cloud_worker.forge.curriculum.sums import draw_chain, draw_sum, solved
from cloud_worker.forge.tokenizer import load

EN, ZH = Language.ENGLISH, Language.CHINESE
MODULES = (clock, compare, convert, counting, expressions, lists, sums)
NEAR_TWIN, FAR_OFF = 0.95, 0.4
ROOT = Path(__file__).parents[4]
DRAWS = {
    "sum": draw_sum,
    "chain": draw_chain,
    "compare": draw_compare,
    "sort": draw_sort,
    "reverse": draw_reverse,
    "copy": draw_copy,
    "count": draw_count,
    "tally": draw_tally,
    "pick": draw_pick,
    "convert": draw_convert,
    "clock": draw_clock,
    "expr": draw_expr,
}
CELLS = [(name, grade, language) for name in DRAWS for grade in (1, 2, 3, 4) for language in Language]


def drawn(name: str, grade: int, language: Language, held_out: bool = False, count: int = 30) -> list[Exercise]:
    rng = random.Random(f"{name} {grade} {language} {held_out}")
    return [DRAWS[name](rng, language, grade, held_out) for _ in range(count)]


def mutations(exercise: Exercise) -> Iterator[str]:
    """Replies that end otherwise: nothing, no conclusion, another last digit, an item less, an item more."""
    answer, end = exercise.answer, exercise.answer.rsplit(" → ", 1)[-1].strip('"')
    yield ""
    yield answer + " 86421"
    if not isinstance(exercise.check, FinalNumber):
        yield answer[: -len(end.split()[-1]) - 1] + "→ "
        yield answer + " → 没有"
    digits = [] if isinstance(exercise.check, Sequence) else list(re.finditer(r"\d", end))
    for place in (len(answer.rstrip('"')) - len(end) + digit.start() for digit in digits[-1:]):
        yield answer[:place] + str((int(answer[place]) + 1) % 10) + answer[place + 1 :]


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize(("name", "grade", "language"), CELLS)
def test_a_check_takes_the_reference_and_refuses_its_mutations(
    name: str, grade: int, language: Language, held_out: bool
) -> None:
    for exercise in drawn(name, grade, language, held_out):
        assert (exercise.family, exercise.grade, exercise.held_out) == (name, grade, held_out)
        assert exercise.check.accepts(exercise.answer), exercise
        assert not [text for text in mutations(exercise) if exercise.check.accepts(text)], exercise


@pytest.mark.parametrize(("name", "grade", "language"), CELLS)
def test_a_check_takes_a_bare_conclusion(name: str, grade: int, language: Language) -> None:
    for exercise in drawn(name, grade, language):
        end = exercise.answer.split("=")[-1] if "→" not in exercise.answer else conclusion(exercise.answer)
        assert exercise.check.accepts(conclusion(end))


@pytest.mark.parametrize(("name", "grade", "language"), CELLS)
def test_the_seed_decides(name: str, grade: int, language: Language) -> None:
    assert drawn(name, grade, language) == drawn(name, grade, language)
    assert len({exercise.question for exercise in drawn(name, grade, language)}) > 15


def test_answers_fit_their_budget_and_grow_with_the_grade() -> None:
    tokenizer = load(ROOT / "reference_models/edge/tokenizer.json")
    for name in DRAWS:
        lengths = {
            grade: [len(tokenizer.encode(one.answer).ids) for lang in Language for one in drawn(name, grade, lang)]
            for grade in (1, 2, 3, 4)
        }
        assert max(lengths[4]) <= 130, name
        assert sum(lengths[1]) < sum(lengths[3]), name
        assert sum(lengths[2]) < sum(lengths[4]), name


@given(st.lists(st.integers(1, 99), min_size=2, max_size=5), st.data())
def test_chains_have_the_value_of_the_expression(numbers: list[int], data: st.DataObject) -> None:
    signs, value = [], numbers[0]
    for number in numbers[1:]:
        signs.append(data.draw(st.sampled_from("+-" if value >= number else "+")))
        value = value + number if signs[-1] == "+" else value - number
    text, result = solved(numbers, signs)
    assert result == value == int(text.rsplit(" → ", 1)[1])


@given(st.lists(st.integers(0, 9999), min_size=2, max_size=4, unique=True), st.booleans())
def test_comparisons_find_the_extreme_by_true_steps(numbers: list[int], big: bool) -> None:
    text, winner = compared(numbers, big)
    assert winner == (max if big else min)(numbers)
    for left, sign, right in re.findall(r"\b(\d)([<=>])(\d)\b", text):
        assert {"<": left < right, "=": left == right, ">": left > right}[sign]


@given(st.lists(st.integers(0, 99), min_size=2, max_size=8, unique=True))
def test_insertion_rows_are_sorted_prefixes(numbers: list[int]) -> None:
    assert insertions(numbers) == [sorted(numbers[:count]) for count in range(2, len(numbers) + 1)]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), st.sampled_from("abc"))
def test_tallies_count(items: list[str], target: str) -> None:
    assert tallied(items, target, EN)[1] == items.count(target)
    assert tallied(items, None, ZH)[1] == len(items)


def test_counting_shows_its_target() -> None:
    assert counted(8, 11) == "8/11 9/11 10/11 11/11"


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 23), st.integers(0, 59))
def test_clocks_agree_with_minutes_of_the_day(hour: int, minute: int, hours: int, minutes: int) -> None:
    text, reached = later(hour, minute, hours, minutes)
    total = (60 * (hour + hours) + minute + minutes) % 1440
    assert reached == f"{total // 60}:{total % 60:02d}"
    equations = re.findall(r"([\d+-]+)=(\d+)", text)
    if hours or minute + minutes >= 60:
        assert int(equations[-1][1]) == total // 60
    for left, right in equations:
        assert sum(int(term) for term in re.findall(r"[+-]?\d+", left)) == int(right)


@pytest.mark.parametrize(
    ("day", "days", "reached"), [(0, 3, "Thursday"), (6, 1, "Monday"), (0, -1, "Sunday"), (2, 14, "Wednesday")]
)
def test_weekdays_walk_the_week(day: int, days: int, reached: str) -> None:
    text, found = weekday(day, days, EN)
    assert found == reached
    assert text.count(",") == abs(days) - 1


@given(st.sampled_from(UNITS), st.integers(1, 9), st.integers(0, 5))
def test_conversions_there_and_back(unit: Unit, big: int, small: int) -> None:
    total = big * unit.factor + small
    assert down(unit, big, small, EN).endswith(f" → {total}{unit.small[EN]}")
    assert up(unit, total, EN).endswith(f" → {compound(unit, big, small, EN)}")


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from((1, 2, 3, 4)))
def test_expressions_are_what_python_says(seed: int, grade: int) -> None:
    steps = expression(random.Random(seed), grade)
    assert repr(eval(steps[0])).replace("'", '"') == steps[-1]
    rewritten = [step for step in steps[1:] if not re.search(r"\d:|=", step)]
    assert len({repr(eval(step)) for step in rewritten}) == 1


def forms_of(value: object) -> Iterator[Form]:
    """Every Form in nested dictionaries."""
    if isinstance(value, Form):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from forms_of(part)


FORMS = [form for module in MODULES for value in vars(module).values() for form in forms_of(value)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.known[0])
def test_held_out_phrasings_are_others_but_not_strange(form: Form) -> None:
    assert len(set(form.known)) >= 15
    assert len(set(form.held_out)) >= 4
    for phrase in set(form.held_out):
        nearest = max(SequenceMatcher(None, phrase, known).ratio() for known in set(form.known))
        assert NEAR_TWIN > nearest > FAR_OFF, phrase
