"""Families sum and chain: one operation on numbers of one to four digits, and several operations in a row."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.exercise import Exercise, FinalNumber, Language
from cloud_worker.forge.curriculum.phrasing import Form, noun_form, typed
from cloud_worker.forge.curriculum.steps import ARROW, step, value_of, worked

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_ADD: Final = {
    EN: noun_form(
        EN, ("{a} + {b}", "{a}+{b}", "{a} plus {b}", "the sum of {a} and {b}"), "How much is {a} + {b}?",
        "How much is {a} plus {b}?", "Add {a} and {b}.", "{a} + {b} = ?", "{a}+{b}=", "{a} + {b} =",
        "Calculate {a} + {b}.", "Compute {a} + {b}.", "What do you get if you add {a} and {b}?", "Add {b} to {a}.",
        "Work out {a} + {b}.", "How much do {a} and {b} make?", "What does {a} plus {b} make?",
    ),
    ZH: noun_form(
        ZH, ("{a}+{b}", "{a}加{b}", "{a}与{b}的和", "{a} + {b}"), "{a}加{b}等于多少？", "{a}+{b}等于多少？",
        "{a}加{b}是多少？", "{a}+{b}=?", "{a}+{b}=", "计算{a}+{b}。", "算一下{a}加{b}。", "{a}加上{b}等于几？",
        "{a}和{b}相加得多少？", "求{a}与{b}的和。", "{a}加{b}得几？", "{a}加上{b}总共多少？",
    ),
}
_SUBTRACT: Final = {
    EN: noun_form(
        EN, ("{a} - {b}", "{a}-{b}", "{a} minus {b}", "the difference of {a} and {b}"), "How much is {a} - {b}?",
        "How much is {a} minus {b}?", "Subtract {b} from {a}.", "{a} - {b} = ?", "{a}-{b}=", "{a} - {b} =",
        "Calculate {a} - {b}.", "Compute {a} - {b}.", "Take {b} away from {a}.", "{a} take away {b}?",
        "Work out {a} - {b}.", "How much is left of {a} after taking {b}?", "What does {a} minus {b} make?",
    ),
    ZH: noun_form(
        ZH, ("{a}-{b}", "{a}减{b}", "{a}与{b}的差", "{a} - {b}"), "{a}减{b}等于多少？", "{a}-{b}等于多少？",
        "{a}减{b}是多少？", "{a}-{b}=?", "{a}-{b}=", "计算{a}-{b}。", "算一下{a}减{b}。", "{a}减去{b}等于几？",
        "从{a}里减去{b}得多少？", "求{a}与{b}的差。", "{a}减{b}得几？", "{a}减去{b}还剩多少？",
    ),
}
_MULTIPLY: Final = {
    EN: noun_form(
        EN, ("{a} x {b}", "{a} times {b}", "{a} * {b}", "the product of {a} and {b}"), "How much is {a} x {b}?",
        "How much is {a} times {b}?", "Multiply {a} by {b}.", "{a} x {b} = ?", "{a} * {b} =", "{a}*{b}=",
        "Calculate {a} x {b}.", "Compute {a} * {b}.", "Multiply {a} and {b}.", "Work out {a} times {b}.",
        "What does {a} times {b} make?",
    ),
    ZH: noun_form(
        ZH, ("{a}×{b}", "{a}乘{b}", "{a}乘以{b}", "{a}与{b}的积"), "{a}乘{b}等于多少？", "{a}×{b}等于多少？",
        "{a}乘以{b}是多少？", "{a}×{b}=?", "{a}*{b}=", "计算{a}×{b}。", "算一下{a}乘{b}。", "求{a}与{b}的积。",
        "{a}乘以{b}等于几？", "{a}乘{b}得几？",
    ),
}
_CHAIN: Final = {
    EN: noun_form(
        EN, ("{e}", "the value of {e}", "the result of {e}"), "How much is {e}?", "{e} = ?", "{e} =", "Calculate {e}.",
        "Compute {e}.", "Solve {e}.", "Work out {e} step by step.", "Find {e}.", "Step by step: {e}",
        "What do you get for {e}?", "Evaluate {e}.", "What does {e} come to?",
    ),
    ZH: noun_form(
        ZH,
        ("{e}", "{e}的值", "{e}的结果"),
        "{e}等于多少？", "{e}=?", "{e}=", "计算{e}。", "算一下{e}。", "{e}是多少？", "一步一步算：{e}", "请算出{e}。",
        "求{e}。", "{e}得多少？", "{e}等于几？", "把{e}算出来。",
    ),
}
# fmt: on


def _operands(rng: random.Random, sign: str, grade: int) -> tuple[int, int]:
    if sign == "*":
        low, high = {1: (2, 10), 2: (11, 50), 3: (11, 100), 4: (101, 1000)}[grade]
        return rng.randrange(low, high), rng.randrange(2, 6 if grade == 2 else 10)
    low, high = 10 ** (grade - 1) if grade > 1 else 0, 10**grade
    a, b = rng.randrange(low, high), rng.randrange(low if grade < 3 or rng.random() < 0.85 else 1, high)
    return (max(a, b), min(a, b)) if sign == "-" else (a, b)


def draw_sum(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """One operation; the grade is the number of digits (products: one, two small, two and three digits by one)."""
    sign = rng.choice("++--*")
    a, b = _operands(rng, sign, grade)
    forms: Form = {"+": _ADD, "-": _SUBTRACT, "*": _MULTIPLY}[sign][language]
    question = typed(forms.choose(rng, held_out).format(a=a, b=b), language, rng)
    check = FinalNumber(value_of(a, sign, b))
    return Exercise("sum", grade, language, question, worked(a, sign, b), check, held_out)


def _chain(rng: random.Random, terms: int, high: int, ceiling: int) -> tuple[list[int], list[str]]:
    """`terms` numbers below `high` and the signs between them; no partial result leaves 0..ceiling."""
    value = rng.randrange(1, high)
    numbers, signs = [value], []
    while len(numbers) < terms:
        number, sign = rng.randrange(1, high), rng.choice("+-")
        if 0 <= value_of(value, sign, number) <= ceiling:
            numbers.append(number)
            signs.append(sign)
            value = value_of(value, sign, number)
    return numbers, signs


def solved(numbers: list[int], signs: list[str]) -> tuple[str, int]:
    """Operations from left to right, each worked, the value last after an arrow; also the value."""
    value, parts = numbers[0], []
    for sign, number in zip(signs, numbers[1:], strict=True):
        parts.append(step(value, sign, number))
        value = value_of(value, sign, number)
    return "; ".join(parts) + ("" if parts[-1].endswith(f"{ARROW}{value}") else f"{ARROW}{value}"), value


def draw_chain(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Two or four operations on digits (grades 1, 2), or two or three on numbers of up to two digits (grades 3, 4)."""
    terms, high, ceiling = {1: (3, 10, 9), 2: (5, 10, 9), 3: (3, 100, 99), 4: (4, 100, 99)}[grade]
    numbers, signs = _chain(rng, terms, high, ceiling)
    gap = rng.choice(("", " "))
    shown = str(numbers[0]) + "".join(f"{gap}{s}{gap}{n}" for s, n in zip(signs, numbers[1:], strict=True))
    answer, value = solved(numbers, signs)
    question = typed(_CHAIN[language].choose(rng, held_out).format(e=shown), language, rng)
    return Exercise("chain", grade, language, question, answer, FinalNumber(value), held_out)
