"""Family expr: small Python expressions, worked by rewriting one part at a time. Nothing here runs code."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from cloud_worker.forge.curriculum.conclusions import Concludes
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.phrasing import noun_form, typed
from cloud_worker.forge.curriculum.steps import ARROW, step, value_of
from cloud_worker.forge.curriculum.sums import solved

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_ASK: Final = {
    EN: noun_form(
        EN, ("the value of {e} in Python", "the result of {e} in Python"), "What does {e} give in Python?",
        "What does Python print for {e}?", "In Python, what is {e}?", "Evaluate in Python: {e}", "Python: {e}",
        "print({e})", "What is printed by print({e})?", "What does print({e}) show?", ">>> {e}",
        "Run this: print({e})", "Python says what for {e}?", "Work out this Python expression: {e}",
        "Which value does {e} return in Python?", "Execute {e} in Python.", "What will Python answer to {e}?",
    ),
    ZH: noun_form(
        ZH, ("Python里{e}的值", "Python中{e}的结果"), "在Python里{e}等于什么？", "Python里{e}是多少？",
        "Python会输出什么：{e}", "计算Python表达式{e}", "Python：{e}", "print({e})", "print({e})输出什么？",
        "运行print({e})得到什么？", ">>> {e}", "求Python表达式的值：{e}", "Python算出{e}是什么？",
        "在Python中执行{e}", "请算Python表达式：{e}", "Python里{e}返回什么？", "用Python算{e}得到什么？",
    ),
}
# fmt: on

Worked = tuple[str, ...]
"""An expression and what it becomes, step by step; the last is its value."""


def _digits(rng: random.Random, low: int, high: int) -> list[int]:
    return [rng.randrange(1, 10) for _ in range(rng.randint(low, high))]


def _brackets(rng: random.Random) -> Worked:
    a, b, c = rng.randrange(2, 10), rng.randrange(1, 5), rng.randrange(1, 6)
    return f"{a} * ({b} + {c})", f"{step(b, '+', c)}; {step(a, '*', b + c)}", f"{a * (b + c)}"


def _priority(rng: random.Random) -> Worked:
    a, b, c = rng.randrange(1, 10), rng.randrange(2, 10), rng.randrange(2, 6)
    return f"{a} + {b} * {c}", f"{step(b, '*', c)}; {step(a, '+', b * c)}", f"{a + b * c}"


def _plain(rng: random.Random) -> Worked:
    a, b, sign = rng.randrange(1, 10), rng.randrange(1, 10), rng.choice("+*")
    return f"{a} {sign} {b}", step(a, sign, b), str(value_of(a, sign, b))


def _extreme(rng: random.Random, low: int = 2, high: int = 2) -> Worked:
    numbers = rng.sample(range(10), rng.randint(low, high))
    name, best = rng.choice((("max", max), ("min", min)))
    steps = [f"{name}({', '.join(map(str, numbers))})"]
    while len(numbers) > 1:
        numbers = [best(numbers[:2]), *numbers[2:]]
        steps.append(f"{name}({', '.join(map(str, numbers))})" if len(numbers) > 1 else str(numbers[0]))
    return tuple(steps)


def _listed(numbers: list[int]) -> str:
    return f"[{', '.join(map(str, numbers))}]"


def _length(rng: random.Random, low: int = 2, high: int = 4) -> Worked:
    numbers = _digits(rng, low, high)
    counted = " ".join(f"{index}:{number}" for index, number in enumerate(numbers, 1))
    return f"len({_listed(numbers)})", counted, str(len(numbers))


def _index(rng: random.Random, low: int = 2, high: int = 3) -> Worked:
    numbers = rng.sample(range(1, 10), rng.randint(low, high))
    place = rng.randrange(len(numbers))
    counted = " ".join(f"{index}:{number}" for index, number in enumerate(numbers[: place + 1]))
    return f"{_listed(numbers)}[{place}]", counted, str(numbers[place])


def _total(rng: random.Random, low: int = 2, high: int = 3) -> Worked:
    numbers = _digits(rng, low, high)
    answer, value = solved(numbers, ["+"] * (len(numbers) - 1))
    return f"sum({_listed(numbers)})", answer.rsplit(ARROW, 1)[0], str(value)


def _repeated(rng: random.Random, low: int = 2, high: int = 3) -> Worked:
    text, times = str(rng.randrange(10, 100)), rng.randint(low, high)
    grown = " ".join(f"{count}:{text * count}" for count in range(1, times + 1))
    return f'"{text}" * {times}', grown, f'"{text * times}"'


def _turned(rng: random.Random) -> Worked:
    text = "".join(map(str, rng.sample(range(10), rng.randint(4, 6))))
    return f'"{text}"[::-1]', f'"{text[::-1]}"'


def _pair(rng: random.Random) -> tuple[str, str, int]:
    a, b = rng.sample(range(10), 2)
    name, best = rng.choice((("max", max), ("min", min)))
    return f"{name}({a}, {b})", f"{name}({a}, {b})={best(a, b)}", best(a, b)


def _product(rng: random.Random) -> tuple[str, str, int]:
    a, b = rng.randrange(2, 10), rng.randrange(2, 10)
    return f"{a} * {b}", step(a, "*", b), a * b


def _element(rng: random.Random) -> tuple[str, str, int]:
    numbers = rng.sample(range(1, 10), rng.randint(2, 4))
    place = rng.randrange(len(numbers))
    shown = f"{_listed(numbers)}[{place}]"
    return shown, f"{shown}={numbers[place]}", numbers[place]


def _combined(rng: random.Random, parts: tuple[Callable[[random.Random], tuple[str, str, int]], ...]) -> Worked:
    """Two expressions joined by a plus: the left one is worked first, then the right one, then the sum."""
    left, right = rng.choice(parts)(rng), rng.choice(parts)(rng)
    steps = (left[1], right[1], step(left[2], "+", right[2]))
    return f"{left[0]} + {right[0]}", "; ".join(steps), str(left[2] + right[2])


def expression(rng: random.Random, grade: int) -> Worked:
    """An expression of a grade: one operation or look-up; two; three or more; long or combined ones."""
    if grade == 1:
        return rng.choice((_plain, _extreme, _length, _index))(rng)
    if grade == 2:
        kind = rng.randrange(5)
        if kind < 3:
            return (_brackets, _priority, _repeated)[kind](rng)
        return _length(rng, 5, 6) if kind == 3 else _index(rng, 4, 5)
    if grade == 3:
        kind = rng.randrange(4)
        if kind < 2:
            return _total(rng, 3, 3) if kind else _extreme(rng, 3, 5)
        return _turned(rng) if kind == 2 else _combined(rng, (_pair, _product))
    kind = rng.randrange(3)
    if kind < 2:
        return _combined(rng, (_pair, _product, _element)) if kind else _total(rng, 4, 5)
    return _repeated(rng, 4, 5)


def written(steps: Worked) -> str:
    """What the expression becomes, joined by arrows; an expression of one step is repeated before its value."""
    return ARROW.join(steps[1:] if len(steps) > 2 else steps)


def draw_expr(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """See `expression`."""
    steps = expression(rng, grade)
    question = _ASK[language].choose(rng, held_out).format(e=steps[0])
    if rng.random() < 0.5 and not question.startswith(("print", ">>>")):
        question = typed(question, language, rng)
    return Exercise("expr", grade, language, question, written(steps), Concludes(steps[-1]), held_out)
