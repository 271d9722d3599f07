"""The families of words: their answers hold by another way of working them out, and grades grow."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise

import pytest

from cloud_worker.forge.curriculum import FAMILIES, Exercise, Kind, Language, Role, Task
from cloud_worker.forge.curriculum.conclusions import conclusion
from cloud_worker.forge.curriculum.phrases import NOUNS

EN, ZH = Language.ENGLISH, Language.CHINESE
BY_NAME = {family.name: family for family in FAMILIES}
GRADES = [(grade, language) for grade in (1, 2, 3, 4) for language in Language]


def drawn(name: str, grade: int, language: Language, count: int = 40) -> list[Exercise]:
    rng = random.Random(f"{name} {grade} {language}")
    return [BY_NAME[name].exercise(rng, language, grade, rng.random() < 0.3) for _ in range(count)]


def last_word(exercise: Exercise) -> str:
    return exercise.answer.rsplit("→", 1)[1].strip()


def test_twelve_families_have_four_grades() -> None:
    assert len([family for family in FAMILIES if set(family.grades) == {1, 2, 3, 4}]) >= 12


def test_every_task_type_and_kind_is_taught() -> None:
    assert {family.task for family in FAMILIES} == set(Task)
    assert {family.kind for family in FAMILIES} == set(Kind)


@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_an_extracted_value_stands_in_the_record_of_the_named_person(grade: int, language: Language) -> None:
    for exercise in drawn("extract", grade, language):
        record = exercise.answer.rsplit(" →", 1)[0]
        assert record in exercise.question
        assert last_word(exercise) in record
        asked = exercise.question.replace(record, "")
        assert re.split("[:：]", record)[0].removeprefix("Name ") in asked, "the question names the person"


@pytest.mark.parametrize("name", ["lookup", "long_lookup"])
@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_a_fact_looked_up_is_stated_once(name: str, grade: int, language: Language) -> None:
    for exercise in drawn(name, grade, language):
        assert exercise.question.count(exercise.answer) == 1
        assert exercise.long_context is (name == "long_lookup")


@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_long_texts_have_hundreds_of_tokens(grade: int, language: Language) -> None:
    pieces = re.compile(r"\d|[\u4e00-\u9fff]| ?[A-Za-z]+| ?[^\sA-Za-z0-9\u4e00-\u9fff]|\s")
    found = [len(pieces.findall(exercise.question)) for exercise in drawn("long_lookup", grade, language)]
    low, high = {1: (256, 400), 2: (340, 520), 3: (460, 680), 4: (620, 860)}[grade]
    assert low <= min(found) <= max(found) <= high


@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_a_relation_follows_the_stated_facts(grade: int, language: Language) -> None:
    pattern = r"The (\w+) of (\w+): (\w+)\." if language is EN else r"(\w\w)的(\w\w)：(\w\w)。"
    for exercise in drawn("relation", grade, language):
        facts = {m[1] if language is EN else m[0]: m[2] for m in re.findall(pattern, exercise.question)}
        told = re.sub(r"The \w+ |of |的(上司|老师|朋友|邻居)", "", exercise.answer.split(" →")[0])
        steps = [re.split(": |：", step) for step in re.split("[,，] ?", told)]
        assert all(facts[one] == other for one, other in steps)
        assert all(before[1] == after[0] for before, after in pairwise(steps))
        assert last_word(exercise) == steps[-1][1]
        assert len(steps) == {1: 1, 2: 1, 3: 2, 4: 3}[grade]


@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_json_holds_what_the_sentence_says(grade: int, language: Language) -> None:
    for exercise in drawn("json", grade, language):
        value = json.loads(exercise.answer)
        objects = value if isinstance(value, list) else [value]
        assert len(objects) == (2 if grade == 4 else 1)
        assert all(str(part) in exercise.question for one in objects for part in one.values())


@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_calls_name_as_many_orders_as_the_grade_has(grade: int, language: Language) -> None:
    for exercise in drawn("home", grade, language):
        calls = exercise.answer.split("; ")
        assert len(calls) == {1: 1, 2: 1, 3: 2, 4: 4}[grade]
        assert all(re.fullmatch(r"\w+\.(on|off|set)\(\w+(, \d\d)?\)", call) for call in calls)
        assert exercise.task is Task.TOOL


@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_lists_leave_out_what_was_unwanted(grade: int, language: Language) -> None:
    for exercise in drawn("listing", grade, language):
        parts = re.split("without|but not|except|不要|不能有|除了", exercise.question)
        unwanted = re.findall(r"\w+", re.sub(" and |和", " ", parts[1])) if grade > 1 else []
        assert not set(unwanted) & set(re.split("[,、] ?", exercise.answer))


@pytest.mark.parametrize("grade", [2, 3, 4])
def test_a_translated_phrase_has_the_noun_in_both_languages(grade: int) -> None:
    chinese = {english: zh for english, zh, _ in NOUNS}
    for exercise in drawn("translate", grade, EN):
        source, target = re.fullmatch(r"“(.+)” in Chinese is (.+)\.", exercise.answer).groups()  # type: ignore[union-attr]
        noun = next(one for one in sorted(chinese, key=len, reverse=True) if one in source.split()[-1])
        assert target.endswith(chinese[noun])


@pytest.mark.parametrize("language", list(Language))
def test_functions_do_what_is_asked(language: Language) -> None:
    seen = set()
    for grade in (2, 3, 4):
        for exercise in drawn("code", grade, language, 100):
            scope: dict[str, object] = {}
            exec(exercise.answer, scope)
            name = re.match(r"def (\w+)", exercise.answer)[1]  # type: ignore[index]
            assert callable(scope[name])
            assert name in exercise.question
            seen.add(exercise.answer.split("return ")[1][:3])
    assert {"sum", "max", "min", "len", "sor", "[x "} <= seen


@pytest.mark.parametrize("language", list(Language))
def test_a_selection_of_doubled_items(language: Language) -> None:
    wanted = {EN: ("sum of the doubles", "that are even"), ZH: ("两倍的和", "偶数")}[language]
    found = [one for one in drawn("code", 4, language, 600) if all(part in one.question for part in wanted)]
    assert found
    for exercise in found:
        scope: dict[str, object] = {}
        exec(exercise.answer, scope)
        work = scope[re.match(r"def (\w+)", exercise.answer)[1]]  # type: ignore[index]
        assert work([1, 2, 3, 4]) == 12  # type: ignore[operator]


@pytest.mark.parametrize("name", ["name", "memory", "follow_up"])
@pytest.mark.parametrize("language", list(Language))
def test_dialogue_grows_with_the_grade(name: str, language: Language) -> None:
    turns = {grade: sum(len(one.earlier) for one in drawn(name, grade, language)) for grade in (1, 2, 3, 4)}
    assert turns[1] <= turns[2] < turns[3] < turns[4]
    assert all(one.earlier[-1].role is Role.ASSISTANT for one in drawn(name, 4, language))


@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_memory_repeats_what_was_told(grade: int, language: Language) -> None:
    for exercise in drawn("memory", grade, language):
        told = exercise.answer.replace("Your ", "my ").replace("你的", "我的").rstrip(".。")
        assert any(told.lower() in turn.content.lower() for turn in exercise.earlier)


@pytest.mark.parametrize(("grade", "language"), GRADES)
def test_counted_days_end_with_the_answer(grade: int, language: Language) -> None:
    for exercise in drawn("calendar_steps", grade, language):
        steps, last = exercise.answer.split(" → ")
        assert re.split("[,，] ?", steps)[-1].split()[-1] == last == conclusion(exercise.answer).title()
        assert str(len(re.split("[,，] ?", steps))) in exercise.question


@pytest.mark.parametrize("language", list(Language))
def test_a_messy_question_keeps_its_plain_answer(language: Language) -> None:
    assert any(one.question.isupper() for one in drawn("messy", 1, EN))
    mixed = [one.question for one in drawn("messy", 3, language)]
    assert all(re.search("[\u4e00-\u9fff]", text) and re.search("[a-zA-Z]", text) for text in mixed)


@pytest.mark.parametrize("name", ["limits", "unclear", "unknown", "impossible"])
@pytest.mark.parametrize("language", list(Language))
def test_edge_cases_have_one_honest_answer(name: str, language: Language) -> None:
    exercises = drawn(name, 1, language)
    assert len({one.answer for one in exercises}) == 1
    assert len({one.question for one in exercises}) > 10
    assert all(one.kind is Kind.EDGE_CASE for one in exercises)
