"""Families sum and two_step: addition, subtraction, multiplication and comparison, with worked steps beyond one digit.

Worked steps are the answer's own scratch pad: column by column, ones first, carry as the last term.
"""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.exercise import Exact, Exercise, FinalNumber, Language
from cloud_worker.forge.curriculum.phrasing import Form, form, noun_form, typed

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
        "{a}和{b}相加得多少？", "求{a}与{b}的和。", "{a}加{b}得几？", "{a}加上{b}是多少？",
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
        "从{a}里减去{b}得多少？", "求{a}与{b}的差。", "{a}减{b}得几？", "{a}减去{b}是多少？",
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
        EN, ("{a} {p} {b} {q} {c}", "{a}{p}{b}{q}{c}"), "How much is {a} {p} {b} {q} {c}?", "{a} {p} {b} {q} {c} = ?",
        "{a}{p}{b}{q}{c}=", "Calculate {a} {p} {b} {q} {c}.", "Compute {a}{p}{b}{q}{c}.",
        "Work out {a} {p} {b} {q} {c}.", "Evaluate {a} {p} {b} {q} {c}.",
    ),
    ZH: noun_form(
        ZH, ("{a}{p}{b}{q}{c}", "{a} {p} {b} {q} {c}"), "{a}{p}{b}{q}{c}等于多少？", "{a}{p}{b}{q}{c}=?",
        "{a}{p}{b}{q}{c}=", "计算{a}{p}{b}{q}{c}。", "算一下{a}{p}{b}{q}{c}。", "{a}{p}{b}{q}{c}是多少？",
        "求{a}{p}{b}{q}{c}。",
    ),
}
_COMPARE: Final = {
    EN: form(
        "Which is bigger, {a} or {b}?", "Which is larger, {a} or {b}?", "Which number is bigger, {a} or {b}?",
        "What is bigger, {a} or {b}?", "Is {a} or {b} bigger?", "{a} or {b}, which is bigger?",
        "Which number is larger: {a} or {b}?", "Tell me which is bigger, {a} or {b}.",
        "Which one is greater, {a} or {b}?", "Compare {a} and {b}.", "Of {a} and {b}, which is bigger?",
        "Which is more, {a} or {b}?", "Find the bigger number: {a}, {b}.", "What is the larger number, {a} or {b}?",
        "{a} and {b}: which is larger?", "Which is greater, {a} or {b}?", "Between {a} and {b}, which is bigger?",
        "Say which is larger, {a} or {b}.",
    ),
    ZH: form(
        "{a}和{b}哪个大？", "{a}和{b}哪个更大？", "{a}与{b}哪个大？", "哪个更大，{a}还是{b}？", "哪个大，{a}还是{b}？",
        "{a}大还是{b}大？", "比较{a}和{b}。", "请问{a}和{b}哪个大？", "{a}和{b}谁大？", "{a}、{b}哪个大？",
        "{a}和{b}中哪个更大？", "告诉我{a}和{b}哪个大。", "比一比{a}和{b}。", "{a}跟{b}哪个大？",
        "{a}和{b}相比哪个大？", "{a}和{b}里较大的是哪个？", "{a}和{b}之间哪个更大？", "说说{a}和{b}哪个大。",
    ),
}
# fmt: on


def add_steps(a: int, b: int) -> list[str]:
    """Column additions, ones first; a carry is written as a third term. Empty for one-digit sums."""
    width = max(len(str(a)), len(str(b)))
    steps, carry = [], 0
    for place in range(width if width > 1 else 0):
        left, right = a // 10**place % 10, b // 10**place % 10
        total = left + right + carry
        steps.append(f"{left}+{right}{'+1' if carry else ''}={total}")
        carry = total // 10
    return steps


def subtract_steps(a: int, b: int) -> list[str]:
    """Column subtractions, ones first; a borrow adds ten here and takes one, as a third term, from the next column."""
    width = len(str(a))
    steps, borrow = [], 0
    for place in range(width if width > 1 else 0):
        left, right = a // 10**place % 10, b // 10**place % 10
        lend = left < right + borrow
        steps.append(f"{left + 10 * lend}-{right}{'-1' if borrow else ''}={left + 10 * lend - right - borrow}")
        borrow = int(lend)
    return steps


def multiply_steps(a: int, b: int) -> list[str]:
    """Partial products of a two-digit number and a digit. Empty for one-digit products."""
    return [] if a < 10 else [f"{a // 10 * 10}*{b}={a // 10 * 10 * b}", f"{a % 10}*{b}={a % 10 * b}"]


_OPERATORS: Final = {"+": add_steps, "-": subtract_steps, "*": multiply_steps}


def work(a: int, sign: str, b: int) -> tuple[list[str], int]:
    """Steps that end in the equation itself, and its value."""
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    return [*_OPERATORS[sign](a, b), f"{a}{sign}{b}={value}"], value


def _write(steps: list[str], language: Language) -> str:
    return ", ".join(steps) + "." if language is EN else "，".join(steps) + "。"


def _operands(rng: random.Random, sign: str, grade: int) -> tuple[int, int]:
    if sign == "*":
        return (rng.randrange(2, 10) if grade == 1 else rng.randrange(11, 100)), rng.randrange(2, 10)
    low, high = {1: (0, 10), 2: (10, 100), 3: (100, 1000), 4: (1000, 10000)}[grade]
    a, b = rng.randrange(low, high), rng.randrange(low if rng.random() < 0.7 else 1, high)
    return (max(a, b), min(a, b)) if sign == "-" else (a, b)


def draw_sum(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """One operation; the grade is the number of digits (multiplication: one digit, then two by one digit)."""
    sign = rng.choice("++-" if grade in (2, 4) else "++-*")
    a, b = _operands(rng, sign, grade)
    forms: Form = {"+": _ADD, "-": _SUBTRACT, "*": _MULTIPLY}[sign][language]
    steps, value = work(a, sign, b)
    question = typed(forms.choose(rng, held_out).format(a=a, b=b), language, rng)
    return Exercise("sum", grade, language, question, _write(steps, language), FinalNumber(value), held_out)


def draw_two_step(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Two operations from left to right: one-digit numbers (grade 3), two-digit numbers (grade 4)."""
    high = 10 if grade == 3 else 100
    a, b = rng.randrange(1, high), rng.randrange(1, high)
    first = "-" if a > b and rng.random() < 0.4 else "+"
    steps, middle = work(a, first, b)
    c = rng.randrange(1, high)
    second = "-" if middle > c and rng.random() < 0.5 else "+"
    more, value = work(middle, second, c)
    question = _CHAIN[language].choose(rng, held_out).format(a=a, b=b, c=c, p=first, q=second)
    answer = _write(steps + more, language)
    return Exercise("two_step", grade, language, typed(question, language, rng), answer, FinalNumber(value), held_out)


def draw_compare(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """The bigger of two different numbers; the grade is the number of digits."""
    a, b = rng.sample(range(10 ** (grade - 1) if grade > 1 else 0, 10**grade), 2)
    big, small = max(a, b), min(a, b)
    answer = f"{big} is bigger than {small}." if language is EN else f"{big}比{small}大。"
    question = typed(_COMPARE[language].choose(rng, held_out).format(a=a, b=b), language, rng)
    return Exercise("compare", grade, language, question, answer, Exact(answer), held_out)
