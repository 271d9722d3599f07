"""Family extract: one value of one record among several, after the whole record has been written out."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import words
from cloud_worker.forge.curriculum.conclusions import Concludes
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.material import laid_out
from cloud_worker.forge.curriculum.phrasing import noun_form

EN, ZH = Language.ENGLISH, Language.CHINESE
Field = tuple[str, str, words.Pairs]

#: Field names and values; an empty list of values stands for a two-digit number.
FIELDS: Final[tuple[Field, ...]] = (
    ("age", "年龄", ()),
    ("city", "城市", words.CITIES),
    ("job", "职业", words.JOBS),
    ("color", "颜色", words.COLOURS),
    ("pet", "宠物", words.PETS),
    ("fruit", "水果", words.FRUITS),
)
#: Records and fields of each, by grade.
SIZES: Final = {1: (1, 2), 2: (2, 2), 3: (4, 2), 4: (6, 3)}

# Tables: filled lines, not one phrasing a line.
# fmt: off
_ASK: Final = {
    EN: noun_form(
        EN, ("the {f} of {n}", "{n}'s {f}"), "Which {f} does {n} have?", "Find the {f} of {n}.",
        "Look up the {f} of {n}.", "Read off the {f} of {n}.", "Which {f} belongs to {n}?", "Show the {f} of {n}.",
    ),
    ZH: noun_form(
        ZH, ("{n}的{f}",), "{n}的{f}写的是什么？", "找出{n}的{f}。", "查一下{n}的{f}。", "{n}的{f}是哪个？",
        "请找出{n}的{f}。", "看看{n}的{f}。", "念出{n}的{f}。", "查出{n}的{f}。",
    ),
}
# fmt: on

Record = tuple[tuple[str, str], ...]


def value_of(rng: random.Random, values: words.Pairs, language: Language) -> str:
    """A value of a field: a word of the language, or a number from 18 to 79."""
    return rng.choice(words.column(values, language)) if values else str(rng.randrange(18, 80))


def _record(rng: random.Random, fields: list[Field], language: Language) -> Record:
    return tuple((en if language is EN else zh, value_of(rng, values, language)) for en, zh, values in fields)


def written(name: str, record: Record, language: Language) -> str:
    """One record on one line. In English a space stands before the name, as it does in the question: one token."""
    if language is EN:
        return f"Name {name}: " + ", ".join(f"{key} {value}" for key, value in record)
    return f"{name}：" + "，".join(f"{key}{value}" for key, value in record)


def draw_extract(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """One record with two fields (grade 1) up to six records with three fields (grade 4)."""
    count, width = SIZES[grade]
    fields = rng.sample(FIELDS, width)
    people = words.names(rng, language, count)
    table = {who: _record(rng, fields, language) for who in people}
    who = rng.choice(people)
    key, value = rng.choice(table[who])
    lines = [written(name, record, language) for name, record in table.items()]
    ask = _ASK[language].choose(rng, held_out).format(f=key, n=who)
    text = _joined(lines, language, rng)
    answer = f"{written(who, table[who], language)} → {value}"
    question = laid_out(language, text, ask[0].upper() + ask[1:], held_out, rng)
    return Exercise("extract", grade, language, question, answer, Concludes(value), held_out)


def _joined(lines: list[str], language: Language, rng: random.Random) -> str:
    if rng.random() < 0.4:
        return "\n".join(lines)
    return "; ".join(lines) + "." if language is EN else "；".join(lines) + "。"
