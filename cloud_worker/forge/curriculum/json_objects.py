"""Family json: a sentence about a person, a thing or two of them, written as JSON."""

from __future__ import annotations

import json
import random
from typing import Final

from cloud_worker.forge.curriculum import words
from cloud_worker.forge.curriculum.checks import JsonValue
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.phrasing import form

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_ASK: Final = {
    EN: form(
        "Write as JSON: {x}", "JSON: {x}", "As JSON: {x}", "Turn this into JSON: {x}", "Make JSON from this: {x}",
        "Give me JSON for: {x}", "Convert to JSON: {x}", "Please write JSON: {x}", "Make a JSON object: {x}",
        "Put this into JSON: {x}", "{x} Write this as JSON.", "{x} Give me the JSON.", "Extract JSON: {x}",
        "Answer in JSON: {x}", "{x} As JSON, please.", "Translate into JSON: {x}", "Show this as JSON: {x}",
        "I need JSON for this: {x}",
    ),
    ZH: form(
        "写成JSON：{x}", "JSON：{x}", "转成JSON：{x}", "请写成JSON：{x}", "把这句话写成JSON：{x}", "用JSON表示：{x}",
        "变成JSON：{x}", "给我JSON：{x}", "生成JSON：{x}", "请转成JSON：{x}", "{x}写成JSON。", "{x}请给出JSON。",
        "提取JSON：{x}", "用JSON回答：{x}", "把它转成JSON：{x}", "整理成JSON：{x}", "请用JSON写出：{x}",
        "我要JSON：{x}",
    ),
}
_PARTS: Final[tuple[tuple[str, words.Pairs, str, str], ...]] = (
    ("age", (), "is {v} years old", "今年{v}岁"),
    ("city", words.CITIES, "lives in {v}", "住在{v}"),
    ("job", words.JOBS, "works as a {v}", "是一名{v}"),
    ("pet", words.PETS, "has a {v}", "养了一只{v}"),
    ("color", words.COLOURS, "likes {v}", "喜欢{v}"),
)
# fmt: on


def _person(rng: random.Random, language: Language, name: str, width: int) -> tuple[dict[str, object], str]:
    """The object and the sentence with `width` parts besides the name."""
    values: dict[str, object] = {"name": name}
    said = []
    for key, pairs, english, chinese in rng.sample(_PARTS, width):
        value: object = rng.choice(words.column(pairs, language)) if pairs else rng.randrange(18, 80)
        values[key] = value
        said.append((english if language is EN else chinese).format(v=value))
    if language is ZH:
        return values, f"{name}{'，'.join(said)}。"
    listed = ", ".join(said[:-1]) + " and " + said[-1] if width > 1 else said[0]
    return values, f"{name} {listed}."


def draw_json(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """One, two or four facts about a person; two people with two facts each (grade 4)."""
    people = words.names(rng, language, 2 if grade == 4 else 1)
    width = {1: 1, 2: 2, 3: 4, 4: 2}[grade]
    objects, sentences = zip(*(_person(rng, language, name, width) for name in people), strict=True)
    text = (" " if language is EN else "").join(sentences)
    answer = json.dumps(objects[0] if len(people) == 1 else list(objects), ensure_ascii=False)
    question = _ASK[language].choose(rng, held_out).format(x=text)
    return Exercise("json", grade, language, question, answer, JsonValue(answer), held_out)
