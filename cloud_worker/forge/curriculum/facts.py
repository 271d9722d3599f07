"""Families capital, colour, calendar, calendar_steps, animal, science, opposite: small facts, asked in many ways."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import lexicon, words
from cloud_worker.forge.curriculum.conclusions import Concludes
from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language
from cloud_worker.forge.curriculum.phrasing import Form, noun_form, typed

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
CAPITAL: Final = {
    EN: noun_form(
        EN, ("the capital of {x}", "the capital city of {x}"), "Which city is the capital of {x}?",
        "{x} has which capital?", "What city is the capital of {x}?", "Name the capital of {x}.", "Capital of {x}?",
        "What do you call the capital of {x}?", "Which is the capital of {x}?", "What city serves as capital of {x}?",
        "Which capital belongs to {x}?",
    ),
    ZH: noun_form(
        ZH, ("{x}的首都", "{x}首都"), "{x}的首都是哪里？", "{x}的首都是哪个城市？", "{x}的首都在哪里？",
        "哪里是{x}的首都？", "哪个城市是{x}的首都？", "{x}的首都叫什么？", "{x}的首都是哪座城市？",
        "{x}以哪个城市为首都？",
    ),
}
_COUNTRY: Final = {
    EN: noun_form(
        EN, ("the country whose capital is {x}", "the country with the capital {x}"),
        "{x} is the capital of which country?", "Which country has the capital {x}?",
        "Of which country is {x} the capital?", "What country has {x} as its capital?",
        "{x} is the capital of what country?", "Which country's capital is {x}?",
    ),
    ZH: noun_form(
        ZH, ("以{x}为首都的国家", "首都是{x}的国家"), "{x}是哪个国家的首都？", "{x}是哪国的首都？",
        "哪个国家的首都是{x}？", "{x}是什么国家的首都？", "请问{x}是哪个国家的首都？", "哪一国的首都是{x}？",
    ),
}
COLOUR: Final = {
    EN: noun_form(
        EN, ("the color of {x}", "the colour of {x}"), "What color is {x}?", "What colour is {x}?",
        "Which color does {x} have?", "Which colour is {x}?", "What color does {x} have?",
        "What is the usual color of {x}?", "In what color is {x}?", "{x} has which color?",
    ),
    ZH: noun_form(
        ZH, ("{x}的颜色",), "{x}是什么颜色？", "{x}是什么颜色的？", "{x}什么颜色？", "{x}的颜色是哪种？",
        "{x}是哪种颜色？", "{x}有什么颜色？", "{x}通常是什么颜色？", "{x}是啥颜色的？",
    ),
}
_ORDER: Final[dict[tuple[Language, int, int], Form]] = {}
for _kind, _english in ((0, "day"), (1, "month")):
    _ORDER[EN, _kind, 1] = noun_form(
        EN, (f"the {_english} after {{x}}", f"the next {_english} after {{x}}"), f"Which {_english} comes after {{x}}?",
        f"What {_english} comes after {{x}}?", f"What {_english} follows {{x}}?", "What comes after {x}?",
        f"Which {_english} follows {{x}}?", "After {x} comes what?", f"Which {_english} is right after {{x}}?",
    )
    _ORDER[EN, _kind, -1] = noun_form(
        EN, (f"the {_english} before {{x}}", f"the {_english} right before {{x}}"),
        f"Which {_english} comes before {{x}}?", f"What {_english} comes before {{x}}?",
        f"What {_english} is before {{x}}?", "What comes before {x}?", f"Which {_english} is just before {{x}}?",
        "Before {x} comes what?",
    )
for _kind, _unit in ((0, "天"), (1, "个月")):
    _ORDER[ZH, _kind, 1] = noun_form(
        ZH, (f"{{x}}的后一{_unit}", f"{{x}}后面的一{_unit}"), f"{{x}}的下一{_unit}是什么？", "{x}之后是什么？",
        "{x}后面是什么？", "{x}过后是什么？", f"{{x}}的后一{_unit}是哪个？", "{x}接下来是什么？", "什么在{x}之后？",
    )
    _ORDER[ZH, _kind, -1] = noun_form(
        ZH, (f"{{x}}的前一{_unit}", f"{{x}}前面的一{_unit}"), f"{{x}}的上一{_unit}是什么？", "{x}之前是什么？",
        "{x}前面是什么？", f"{{x}}的前一{_unit}是哪个？", "什么在{x}前面？", "什么在{x}之前？",
    )
_MONTH_DAYS: Final = {
    EN: noun_form(
        EN, ("the number of days in {x}",), "How many days does {x} have?", "How many days are there in {x}?",
        "How many days has {x}?", "How long is {x} in days?", "How many days are in {x}?", "{x} has how many days?",
    ),
    ZH: noun_form(
        ZH, ("{x}的天数",), "{x}有多少天？", "{x}有几天？", "{x}一共有多少天？", "{x}共有几天？", "请问{x}有多少天？",
        "{x}总共有多少天？",
    ),
}
_SOUND: Final = {
    EN: noun_form(
        EN, ("the sound of a {x}", "the sound a {x} makes"), "What sound does a {x} make?", "How does a {x} sound?",
        "What does a {x} say?", "What noise does a {x} make?", "Which sound does the {x} make?",
        "What does the {x} say?", "How does the {x} go?",
    ),
    ZH: noun_form(
        ZH, ("{x}的叫声",), "{x}怎么叫？", "{x}是怎么叫的？", "{x}发出什么声音？", "{x}会怎么叫？",
        "{x}叫起来是什么声音？", "{x}的声音是怎样的？", "{x}会发出什么声音？",
    ),
}
_YOUNG: Final = {
    EN: noun_form(
        EN, ("the name of a baby {x}", "the word for a young {x}"), "What is a baby {x} called?",
        "What do you call a baby {x}?", "What is a young {x} called?", "How is a baby {x} called?",
        "What do we call a young {x}?", "Which word means a baby {x}?",
    ),
    ZH: noun_form(
        ZH, ("{x}的幼崽的英语", "小{x}的英语名字"), "{x}的幼崽用英语怎么说？", "小{x}用英语叫什么？",
        "{x}的宝宝英语叫什么？", "小{x}的英语是什么？", "英语里{x}的幼崽叫什么？", "小{x}英语怎么说？",
    ),
}
_LEGS: Final = {
    EN: noun_form(
        EN, ("the number of legs of a {x}",), "How many legs does a {x} have?", "How many legs has a {x}?",
        "How many legs are on a {x}?", "Count the legs of a {x}.", "A {x} has how many legs?",
        "How many legs does the {x} have?",
    ),
    ZH: noun_form(
        ZH, ("{x}的腿数",), "{x}有几条腿？", "{x}有多少条腿？", "一只{x}有几条腿？", "{x}长了几条腿？",
        "{x}一共有几条腿？", "{x}有几只脚？",
    ),
}
_HOME: Final = {
    EN: noun_form(
        EN, ("the home of a {x}",), "Where does a {x} live?", "Where do you find a {x}?", "Where is the home of a {x}?",
        "In what place does a {x} live?", "Where would a {x} live?", "Where does the {x} sleep?",
    ),
    ZH: noun_form(
        ZH, ("{x}的家",), "{x}住在哪里？", "{x}的家在哪里？", "{x}住哪儿？", "{x}生活在哪里？", "哪里能找到{x}？",
        "{x}睡在哪里？",
    ),
}
_SCIENCE: Final = {language: noun_form(language, ("{x}",)) for language in Language}
OPPOSITE: Final = {
    EN: noun_form(
        EN, ("the opposite of {x}", "the antonym of {x}", "the opposite of the word {x}"), "Opposite of {x}?",
        "What is opposite to {x}?", "Which word is the opposite of {x}?", "What word means the opposite of {x}?",
        "Which word has the opposite meaning of {x}?",
    ),
    ZH: noun_form(
        ZH, ("{x}的反义词", "“{x}”的反义词", "{x}的相反词"), "和{x}相反的词是什么？", "{x}反过来是什么？",
        "与{x}相反的是什么？", "哪个词和{x}意思相反？",
    ),
}
_LATER: Final = {
    (EN, 0): noun_form(
        EN, ("the day {n} days after {x}", "the weekday {n} days after {x}"), "Which day is {n} days after {x}?",
        "It is {x}. What day is it in {n} days?", "Today is {x}. Which day is it in {n} days?", "{n} days after {x}?",
        "Count {n} days from {x}.", "{x} plus {n} days?", "What day comes {n} days after {x}?",
    ),
    (EN, 1): noun_form(
        EN, ("the month {n} months after {x}",), "Which month is {n} months after {x}?",
        "It is {x}. What month is it in {n} months?", "Which month is it in {n} months, if it is {x}?",
        "{n} months after {x}?", "Count {n} months from {x}.", "{x} plus {n} months?",
        "What month comes {n} months after {x}?",
    ),
    (ZH, 0): noun_form(
        ZH, ("{x}之后第{n}天", "{x}过{n}天"), "{x}再过{n}天是星期几？",
        "今天{x}，{n}天后是星期几？", "{x}过了{n}天是星期几？",
        "从{x}往后数{n}天。", "{x}的{n}天后是哪天？", "{x}加{n}天？", "{x}往后{n}天是星期几？",
    ),
    (ZH, 1): noun_form(
        ZH, ("{x}之后第{n}个月", "{x}过{n}个月"), "{x}再过{n}个月是几月？",
        "现在{x}，{n}个月后是几月？", "{x}过了{n}个月是几月？",
        "从{x}往后数{n}个月。", "{x}的{n}个月后是几月？", "{x}加{n}个月？", "{x}往后{n}个月是几月？",
    ),
}
# fmt: on


def _fact(
    family: str,
    grade: int,
    language: Language,
    forms: dict[Language, Form],
    x: str,
    answer: str,
    held_out: bool,
    rng: random.Random,
) -> Exercise:
    question = typed(forms[language].choose(rng, held_out).replace("{x}", x), language, rng)
    answer = answer[0].upper() + answer[1:]
    return Exercise(family, grade, language, question, answer, Exact(answer), held_out)


def capital(row: tuple[str, ...], language: Language) -> tuple[str, str]:
    """The country of a row of CAPITALS, and the sentence that names its capital."""
    country, city = row[:2] if language is EN else row[2:]
    return country, f"The capital of {country} is {city}." if language is EN else f"{country}的首都是{city}。"


def colour(row: tuple[str, ...], language: Language) -> tuple[str, str]:
    """The thing of a row of COLOURS, and the sentence that names its colour."""
    thing, name = row[:2] if language is EN else row[2:]
    return thing, f"{thing} is {name}." if language is EN else f"{thing}是{name}的。"


def draw_capital(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Grade 1: the capital of a country. Grade 2: the country of a capital."""
    row = rng.choice(lexicon.CAPITALS)
    if grade == 1:
        country, answer = capital(row, language)
        return _fact("capital", 1, language, CAPITAL, country, answer, held_out, rng)
    country, city = row[:2] if language is EN else row[2:]
    answer = f"{city} is the capital of {country}." if language is EN else f"{city}是{country}的首都。"
    return _fact("capital", 2, language, _COUNTRY, city, answer, held_out, rng)


def draw_colour(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """The usual colour of a thing."""
    thing, answer = colour(rng.choice(lexicon.COLOURS), language)
    return _fact("colour", 1, language, COLOUR, thing, answer, held_out, rng)


def draw_calendar(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Grade 1: the day or month after or before. Grade 2: how many days a month has."""
    column = 0 if language is EN else 1
    if grade == 2:
        index = rng.randrange(12)
        month, days = lexicon.MONTHS[index][column], lexicon.MONTH_DAYS[index]
        answer = f"{month} has {days} days." if language is EN else f"{month}有{days}天。"
        return _fact("calendar", 2, language, _MONTH_DAYS, month, answer, held_out, rng)
    kind, step = rng.randrange(2), rng.choice((1, -1))
    cycle = (lexicon.DAYS, lexicon.MONTHS)[kind]
    index = rng.randrange(len(cycle))
    here, there = cycle[index][column], cycle[(index + step) % len(cycle)][column]
    forms = {language: _ORDER[language, kind, step]}
    return _fact("calendar", 1, language, forms, here, _ordered(kind, step, here, there, language), held_out, rng)


def draw_calendar_steps(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Days or months later, counted out: two (grade 1), three or four, up to six, up to nine."""
    kind = rng.randrange(2)
    cycle = words.column((lexicon.DAYS, lexicon.MONTHS)[kind], language)
    steps = rng.randint(*{1: (2, 2), 2: (3, 4), 3: (5, 6), 4: (7, 9)}[grade])
    start = rng.randrange(len(cycle))
    passed = [cycle[(start + step) % len(cycle)] for step in range(1, steps + 1)]
    counted = (", " if language is EN else "，").join(f"{step} {name}" for step, name in enumerate(passed, 1))
    ask = _LATER[language, kind].choose(rng, held_out).format(x=cycle[start], n=steps)
    answer, check = f"{counted} → {passed[-1]}", Concludes(passed[-1])
    return Exercise("calendar_steps", grade, language, typed(ask, language, rng), answer, check, held_out)


def _ordered(kind: int, step: int, here: str, there: str, language: Language) -> str:
    if language is EN:
        return f"{there} comes {'after' if step == 1 else 'before'} {here}."
    return f"{here}的{'后' if step == 1 else '前'}一{'天' if kind == 0 else '个月'}是{there}。"


def draw_animal(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Sounds, legs and homes (grade 1); the word for the young (grade 2)."""
    name, sound, young, legs, chinese, sound_chinese, home, home_chinese = rng.choice(lexicon.ANIMALS)
    shown = name if language is EN else chinese
    if grade == 2:
        answer = f"A baby {name} is called a {young}." if language is EN else f"小{chinese}的英语是 {young}。"
        return _fact("animal", 2, language, _YOUNG, shown, answer, held_out, rng)
    forms, english, other = rng.choice(
        (
            (_SOUND, f"A {name} says {sound}.", f"{chinese}{sound_chinese}叫。"),
            (_LEGS, f"A {name} has {legs} legs.", f"{chinese}有{legs}条腿。"),
            (_HOME, f"A {name} lives in {home}.", f"{chinese}住在{home_chinese}里。"),
        )
    )
    return _fact("animal", 1, language, forms, shown, english if language is EN else other, held_out, rng)


def draw_science(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A small fact of science or everyday knowledge."""
    english, answer, chinese, answer_chinese = rng.choice(lexicon.SCIENCE)
    noun, reply = (english, answer) if language is EN else (chinese, answer_chinese)
    return _fact("science", 1, language, _SCIENCE, noun, reply, held_out, rng)


def opposite(row: tuple[str, ...], language: Language) -> tuple[str, str]:
    """The first word of a row of OPPOSITES, and the sentence that names its opposite."""
    one, other = row[:2] if language is EN else row[2:]
    return one, f"The opposite of {one} is {other}." if language is EN else f"{one}的反义词是{other}。"


def draw_opposite(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """The opposite of a word, in either direction."""
    row = rng.choice(lexicon.OPPOSITES)
    if rng.random() < 0.5:
        row = (row[1], row[0], row[3], row[2])
    word, answer = opposite(row, language)
    return _fact("opposite", 1, language, OPPOSITE, word, answer, held_out, rng)
