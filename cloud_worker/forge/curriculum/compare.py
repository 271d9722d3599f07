"""Family compare: the bigger or smaller of two or three numbers, decided digit by digit after padding with zeros.

Answers begin with max(...) or min(...), so that the question's wording is settled in the first token.
"""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.exercise import Exercise, FinalNumber, Language
from cloud_worker.forge.curriculum.phrasing import Form, typed
from cloud_worker.forge.curriculum.steps import ARROW

EN, ZH = Language.ENGLISH, Language.CHINESE

_Words = dict[Language, dict[bool, tuple[str, ...]]]

# Tables: filled lines, not one phrasing a line.
# fmt: off
_WORDS: Final[_Words] = {
    EN: {True: ("bigger", "larger", "greater", "higher"), False: ("smaller", "lower", "less")},
    ZH: {True: ("大", "更大", "比较大"), False: ("小", "更小", "比较小")},
}
_MOST: Final[_Words] = {
    EN: {True: ("biggest", "largest", "greatest", "highest"), False: ("smallest", "lowest", "least")},
    ZH: {True: ("最大",), False: ("最小",)},
}
_ASK: Final = {
    EN: Form(
        (
            "Which is {w}, {x}?", "Which number is {w}, {x}?", "What is {w}, {x}?", "{x}: which is {w}?",
            "{x}, which is {w}?", "Which number is {w}: {x}?", "Tell me which is {w}, {x}.", "Which one is {w}, {x}?",
            "Of {x}, which is {w}?", "Find the {w} number: {x}.", "Which of these is {w}: {x}?",
            "Please say which is {w}: {x}.", "Compare {x}: which is {w}?", "Do you know which is {w}, {x}?",
            "Look at {x}. Which is {w}?", "Out of {x}, which one is {w}?", "Choose the {w} one: {x}",
            "Can you tell me which is {w}, {x}?", "Pick the {w} number: {x}",
        ),
        (
            "Between {x}, which is {w}?", "Say which number is {w}, {x}.", "Which would be {w}: {x}?",
            "Given {x}, which number is {w}?",
        ),
    ),
    ZH: Form(
        (
            "{x}哪个{w}？", "{x}哪个数{w}？", "哪个{w}，{x}？", "哪个数{w}：{x}？", "{x}谁{w}？", "请问{x}哪个{w}？",
            "{x}中哪个{w}？", "告诉我{x}哪个{w}。", "{x}相比哪个{w}？", "比较{x}，哪个{w}？", "比一比{x}，哪个{w}？",
            "下面哪个{w}：{x}", "{x}里面哪个{w}？", "你知道{x}哪个{w}吗？", "看看{x}哪个{w}。", "{x}这些数哪个{w}？",
            "说出{w}的数：{x}", "找出{w}的数：{x}", "选出{w}的：{x}",
        ),
        ("{x}之间哪个{w}？", "说说{x}哪个{w}。", "{x}当中{w}的是哪个？", "帮我看看{x}哪一个{w}。"),
    ),
}
# fmt: on


def duel(a: int, b: int, big: bool) -> tuple[list[str], int]:
    """Digit comparisons from the left up to the first that differs, and the bigger (or smaller) of two numbers."""
    width = max(len(str(a)), len(str(b)))
    steps = []
    for left, right in zip(f"{a:0{width}d}", f"{b:0{width}d}", strict=True):
        steps.append(f"{left}{'=' if left == right else '<' if left < right else '>'}{right}")
        if left != right:
            break
    return steps, max(a, b) if big else min(a, b)


def compared(numbers: list[int], big: bool) -> tuple[str, int]:
    """Knock-out from left to right: `max(047, 352): 0<3 → 352`; also the winner."""
    best, parts = numbers[0], []
    for number in numbers[1:]:
        width = max(len(str(best)), len(str(number)))
        steps, winner = duel(best, number, big)
        pair = f"{'max' if big else 'min'}({best:0{width}d}, {number:0{width}d})"
        parts.append(f"{pair}: {', '.join(steps)}{ARROW}{winner}")
        best = winner
    return "; ".join(parts), best


def _numbers(rng: random.Random, grade: int) -> list[int]:
    """Different numbers: of one digit, of two, of three or two, or three numbers of two to four digits."""
    if grade < 3:
        return rng.sample(range(10 * (grade - 1), 10**grade), 2)
    width = 3 if grade == 3 else rng.randint(2, 4)
    first = rng.randrange(10 ** (width - 1), 10**width)
    numbers = [first]
    while len(numbers) < grade - 1:
        number = _near(rng, first, width)
        if number not in numbers and number > 0:
            numbers.append(number)
    return numbers


def _near(rng: random.Random, number: int, width: int) -> int:
    """A number that shares the first digits, or has as many digits, or one digit more or less."""
    kind = rng.random()
    if kind < 0.4:
        tail: int = 10 ** rng.randrange(1, width)
        return number // tail * tail + rng.randrange(tail)
    other = width if kind < 0.7 else width + rng.choice((-1, 1))
    return rng.randrange(10 ** (other - 1), 10**other)


def _listed(numbers: list[int], language: Language) -> str:
    words = [str(number) for number in numbers]
    if language is EN:
        return ", ".join(words[:-1]) + " or " + words[-1]
    return "、".join(words[:-1]) + "和" + words[-1]


def draw_compare(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Bigger or smaller of two numbers (grades 1 to 3), biggest or smallest of three (grade 4)."""
    numbers, big = _numbers(rng, grade), rng.random() < 0.6
    word = rng.choice((_WORDS if len(numbers) == 2 else _MOST)[language][big])
    if len(numbers) > 2 and language is EN:
        word = f"the {word}"
    text = _ASK[language].choose(rng, held_out).format(x=_listed(numbers, language), w=word).replace("the the", "the")
    answer, winner = compared(numbers, big)
    return Exercise("compare", grade, language, typed(text, language, rng), answer, FinalNumber(winner), held_out)
