"""Family convert: one unit into another, compounds such as 3 km 250 m into the small unit, and back."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from cloud_worker.forge.curriculum.conclusions import Concludes
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.phrasing import Form, typed
from cloud_worker.forge.curriculum.steps import ARROW, step

EN, ZH = Language.ENGLISH, Language.CHINESE


@dataclass(frozen=True, slots=True)
class Unit:
    """A big unit, the small unit that it has `factor` of, both in English and Chinese."""

    big: dict[Language, str]
    small: dict[Language, str]
    factor: int


def _unit(big: str, small: str, factor: int, big_chinese: str, small_chinese: str) -> Unit:
    return Unit({EN: f" {big}", ZH: big_chinese}, {EN: f" {small}", ZH: small_chinese}, factor)


# Tables: filled lines, not one phrasing a line.
# fmt: off
UNITS: Final = (
    _unit("km", "m", 1000, "公里", "米"), _unit("m", "cm", 100, "米", "厘米"), _unit("cm", "mm", 10, "厘米", "毫米"),
    _unit("kg", "g", 1000, "公斤", "克"), _unit("litres", "ml", 1000, "升", "毫升"),
    _unit("tonnes", "kg", 1000, "吨", "公斤"), _unit("yuan", "jiao", 10, "元", "角"),
    _unit("jiao", "fen", 10, "角", "分"),
    _unit("yuan", "fen", 100, "元", "分"), _unit("dollars", "cents", 100, "美元", "美分"),
    _unit("hours", "minutes", 60, "小时", "分钟"), _unit("minutes", "seconds", 60, "分钟", "秒"),
    _unit("days", "hours", 24, "天", "小时"), _unit("weeks", "days", 7, "周", "天"),
    _unit("years", "months", 12, "年", "个月"),
)
_METRIC: Final = tuple(unit for unit in UNITS if unit.factor % 10 == 0 and unit.factor != 60)
_TIME: Final = tuple(unit for unit in UNITS if unit not in _METRIC)
_COMPOUND: Final = tuple(unit for unit in UNITS if unit.factor not in (24, 7, 12))
_DOWN: Final = {
    EN: Form(
        (
            "Convert {x} to{u}.", "Convert {x} into{u}.", "How many{u} are {x}?", "What is {x} in{u}?", "{x} in{u}?",
            "{x} to{u}", "How many{u} are there in {x}?", "Please convert {x} to{u}.", "Change {x} to{u}.",
            "{x} = ?{u}", "Express {x} in{u}.", "How many{u} is {x}?", "Write {x} in{u}.", "Turn {x} into{u}.",
            "Can you convert {x} to{u}?", "{x} is how many{u}?", "How much is {x} in{u}?", "Give {x} in{u}.",
        ),
        (
            "Tell me {x} in{u}.", "How many{u} make {x}?", "I have {x}. How many{u} is that?",
            "What do {x} make in{u}?",
        ),
    ),
    ZH: Form(
        (
            "{x}等于多少{u}？", "{x}是多少{u}？", "把{x}换算成{u}。", "{x}换算成{u}", "{x}有多少{u}？", "{x}=?{u}",
            "请把{x}换成{u}。", "{x}合多少{u}？", "换算：{x}是多少{u}？", "{x}等于几{u}？", "请问{x}是多少{u}？",
            "用{u}表示{x}。", "把{x}化成{u}。", "{x}化成{u}是多少？", "帮我把{x}换算成{u}。", "{x}是几{u}？",
            "将{x}转换为{u}。", "算一下{x}是多少{u}。",
        ),
        ("{x}一共是多少{u}？", "{x}相当于多少{u}？", "告诉我{x}合几{u}。", "把{x}用{u}表示出来。"),
    ),
}
# fmt: on


def down(unit: Unit, big: int, small: int, language: Language) -> str:
    """`big` (and `small`) of a unit in its small unit: the product, then the sum."""
    name = unit.small[language]
    whole = big * unit.factor
    steps = [f"{big}*{unit.factor}={whole}"]
    if small:
        steps.append(f"{whole}+{small}={whole + small}" if unit in _METRIC else step(whole, "+", small))
    return "; ".join(steps) + f"{ARROW}{whole + small}{name}"


def up(unit: Unit, total: int, language: Language) -> str:
    """A number of small units as big and small units: the largest product, then the rest."""
    big, small = divmod(total, unit.factor)
    whole = big * unit.factor
    rest = f"{total}-{whole}={small}" if unit in _METRIC else step(total, "-", whole)
    return f"{big}*{unit.factor}={whole}; {rest}{ARROW}{compound(unit, big, small, language)}"


def compound(unit: Unit, big: int, small: int, language: Language) -> str:
    """`3 km 250 m`; the small part is left out when there is none."""
    return f"{big}{unit.big[language]}" + (
        (" " if language is EN else "") + f"{small}{unit.small[language]}" if small else ""
    )


def _draw_plain(rng: random.Random, grade: int, language: Language) -> tuple[str, str, str]:
    """Question's amount, wanted unit, answer: a digit of metric units, then two digits or units of time."""
    if grade == 1:
        unit, big = rng.choice(_METRIC), rng.randrange(1, 10)
    elif rng.random() < 0.5:
        unit, big = rng.choice(_METRIC), rng.randrange(10, 100)
    else:
        unit, big = rng.choice(_TIME), rng.randrange(2, 10)
    return compound(unit, big, 0, language), unit.small[language], down(unit, big, 0, language)


def _draw_compound(rng: random.Random, grade: int, language: Language) -> tuple[str, str, str]:
    """Question's amount, wanted unit, answer: a compound to its small unit (grade 3) or back (grade 4)."""
    unit = rng.choice(_COMPOUND)
    big, small = rng.randrange(1, 10), rng.randrange(1, unit.factor)
    if grade == 3:
        return compound(unit, big, small, language), unit.small[language], down(unit, big, small, language)
    total = big * unit.factor + small
    joint = " and" if language is EN else "和"
    return (
        f"{total}{unit.small[language]}",
        unit.big[language] + joint + unit.small[language],
        up(unit, total, language),
    )


def draw_convert(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Lengths, weights, volumes, money and time; the grade is how many steps the conversion takes."""
    amount, unit, answer = (_draw_plain if grade < 3 else _draw_compound)(rng, grade, language)
    question = _DOWN[language].choose(rng, held_out).format(x=amount, u=unit)
    check = Concludes(answer.rsplit(ARROW, 1)[1])
    return Exercise("convert", grade, language, typed(question, language, rng), answer, check, held_out)
