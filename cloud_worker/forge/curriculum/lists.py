"""Families sort, reverse and copy: the same lists of words or numbers, handled in three ways."""

from __future__ import annotations

import random
from bisect import insort
from typing import Final

from cloud_worker.forge.curriculum.commands import command_form
from cloud_worker.forge.curriculum.conclusions import ConcludesList
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.lexicon import LIST_WORDS_CHINESE, LIST_WORDS_ENGLISH
from cloud_worker.forge.curriculum.phrasing import typed
from cloud_worker.forge.curriculum.steps import ARROW

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_SORT: Final = {
    EN: command_form(
        EN,
        (
            "sort these numbers: {x}", "sort {x}", "sort the numbers {x}", "put these numbers in order: {x}",
            "order these numbers: {x}", "arrange {x} in order", "sort from small to large: {x}",
            "sort in ascending order: {x}", "put {x} in order", "sort this list: {x}",
            "arrange from small to big: {x}",
        ),
        ("In order, please: {x}", "Numbers to sort: {x}", "From smallest to largest: {x}", "What is {x} in order?"),
        (
            "Rank these from small to large: {x}", "Show these numbers sorted: {x}", "Sort by size: {x}",
            "The list to be sorted is {x}",
        ),
    ),
    ZH: command_form(
        ZH,
        (
            "把这些数从小到大排列：{x}", "给这些数排序：{x}", "排序：{x}", "从小到大排序：{x}", "把{x}从小到大排列",
            "给{x}排序", "把下面的数排序：{x}", "按大小排列{x}", "把{x}排个序", "将下列数字从小到大排列：{x}",
        ),
        ("从小到大：{x}", "这些数从小到大怎么排：{x}", "{x}，从小到大排好", "要排序的数：{x}"),
        ("数字排序：{x}", "把数按大小排一排：{x}", "{x}从小到大是怎样的？", "按从小到大的顺序写出{x}"),
    ),
}
_REVERSE: Final = {
    EN: command_form(
        EN,
        (
            "reverse this: {x}", "reverse {x}", "reverse the list: {x}", "write this backwards: {x}",
            "say this backwards: {x}", "reverse the order of {x}", "turn this around: {x}",
            "put this in reverse order: {x}", "list this in reverse: {x}", "say {x} backwards",
            "reverse the order: {x}",
        ),
        ("Backwards, please: {x}", "From last to first: {x}", "In reverse: {x}", "What is the reverse of {x}?"),
        (
            "Flip the order of {x}", "What is {x} backwards?", "Reversed order, please: {x}",
            "Begin with the last and end with the first: {x}",
        ),
    ),
    ZH: command_form(
        ZH,
        (
            "把这个倒过来：{x}", "把{x}倒过来", "反过来写：{x}", "倒序写出：{x}", "把下面的内容倒序：{x}",
            "倒着写：{x}", "反转：{x}", "倒着说：{x}", "把顺序反过来：{x}", "把{x}反过来", "从后往前写：{x}",
        ),
        ("倒序：{x}", "{x}倒过来是什么？", "从最后一个写到第一个：{x}", "{x}，反过来是什么？"),
        ("倒着念：{x}", "把{x}的顺序倒一下", "{x}倒着写是什么？", "从后到前念出：{x}"),
    ),
}
_COPY: Final = {
    EN: command_form(
        EN,
        (
            "repeat after me: {x}", "repeat: {x}", "copy this: {x}", "say: {x}", "repeat this: {x}", "copy {x}",
            "echo: {x}", "write this again: {x}", "say this: {x}", "type this: {x}", "repeat {x}",
            "copy exactly: {x}",
        ),
        ("Same again: {x}", "Say it after me: {x}", "Write exactly this: {x}", "The same words back: {x}"),
        (
            "Echo this back: {x}", "Repeat what I say: {x}", "Write down the same thing: {x}", "After me, say: {x}",
        ),
    ),
    ZH: command_form(
        ZH,
        (
            "跟我说：{x}", "重复：{x}", "抄写：{x}", "复述：{x}", "重复一遍：{x}", "照着写：{x}", "跟我念：{x}",
            "照抄：{x}", "把这个再写一遍：{x}", "原样写出：{x}", "说：{x}", "重复{x}",
        ),
        ("跟读：{x}", "一样地写：{x}", "再说一次：{x}", "原话是：{x}，重复一遍"),
        ("跟着我说一遍：{x}", "原样重复：{x}", "把它照抄一遍：{x}", "把这个复述一遍：{x}"),
    ),
}
_SEPARATOR: Final = {EN: ", ", ZH: "、"}
_WORDS: Final = {EN: LIST_WORDS_ENGLISH, ZH: LIST_WORDS_CHINESE}
_LENGTHS: Final = {
    "sort": {1: (3, 3), 2: (3, 3), 3: (4, 5), 4: (6, 8)},
    "reverse": {1: (2, 3), 2: (4, 4), 3: (5, 6), 4: (7, 9)},
    "copy": {1: (2, 4), 2: (5, 6), 3: (7, 9), 4: (10, 13)},
}
_LABELS: Final = {
    "reverse": {EN: "Reversed: ", ZH: "倒序："},
    "copy": {EN: "Copy: ", ZH: "抄写："},
}
# fmt: on


def joined(items: list[str], language: Language) -> str:
    """Items as a list is written in the language."""
    return _SEPARATOR[language].join(items)


def insertions(numbers: list[int]) -> list[list[int]]:
    """The sorted rows of insertion sort: of the first two numbers, of the first three, and so on."""
    row: list[int] = []
    rows = []
    for number in numbers:
        insort(row, number)
        rows.append(list(row))
    return rows[1:]


def _items(rng: random.Random, family: str, language: Language, grade: int) -> list[str]:
    """Different words, or (two times in five) digits, of which some occur again from grade 3 on."""
    count = rng.randint(*_LENGTHS[family][grade])
    if rng.random() < 0.6:
        return rng.sample(_WORDS[language], count)
    if grade < 3:
        return [str(digit) for digit in rng.sample(range(10), count)]
    return [str(rng.randrange(10)) for _ in range(count)]


def _asked(family: str, language: Language, x: str, held_out: bool, rng: random.Random) -> str:
    forms = {"sort": _SORT, "reverse": _REVERSE, "copy": _COPY}[family]
    question = forms[language].choose(rng, held_out).format(x=x)
    return typed(question, language, rng) if rng.random() < 0.3 else question


def draw_sort(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Three digits (grade 1) or three to eight different numbers of two digits, ascending, by insertion."""
    numbers = rng.sample(range(10) if grade == 1 else range(10, 100), rng.randint(*_LENGTHS["sort"][grade]))
    answer = ARROW.join(" ".join(map(str, row)) for row in insertions(numbers))
    question = _asked("sort", language, joined([str(number) for number in numbers], language), held_out, rng)
    check = ConcludesList(tuple(str(number) for number in sorted(numbers)))
    return Exercise("sort", grade, language, question, answer, check, held_out)


def _handled(
    family: str, rng: random.Random, language: Language, grade: int, held_out: bool, items: list[str], out: list[str]
) -> Exercise:
    question = _asked(family, language, joined(items, language), held_out, rng)
    answer = _LABELS[family][language] + joined(out, language)
    return Exercise(family, grade, language, question, answer, ConcludesList(tuple(out)), held_out)


def draw_reverse(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Words or digits from last to first."""
    items = _items(rng, "reverse", language, grade)
    return _handled("reverse", rng, language, grade, held_out, items, items[::-1])


def draw_copy(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Words or digits as they stand."""
    items = _items(rng, "copy", language, grade)
    return _handled("copy", rng, language, grade, held_out, items, items)
