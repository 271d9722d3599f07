"""Families sort, reverse and copy: the same short lists of words or digits, handled in three ways."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language
from cloud_worker.forge.curriculum.lexicon import LIST_WORDS_CHINESE, LIST_WORDS_ENGLISH
from cloud_worker.forge.curriculum.phrasing import Form, form, typed

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_SORT: Final = {
    EN: form(
        "Sort these numbers: {x}", "Sort {x}", "Sort the numbers {x}", "Put these numbers in order: {x}",
        "Order these numbers: {x}", "Arrange these numbers: {x}", "Please sort {x}", "Sort from small to large: {x}",
        "Sort from smallest to largest: {x}", "Sort in ascending order: {x}", "Can you sort {x}?", "Put {x} in order",
        "Arrange from small to big: {x}", "Order from low to high: {x}", "Sort this list: {x}", "Sort the list {x}",
        "Rank these from small to large: {x}", "Numbers to sort: {x}", "Give me these numbers sorted: {x}",
    ),
    ZH: form(
        "把这些数从小到大排列：{x}", "给这些数排序：{x}", "排序：{x}", "从小到大排序：{x}", "请排序：{x}",
        "把{x}从小到大排列", "请把这些数字排序：{x}", "将下列数字从小到大排列：{x}", "给{x}排序",
        "把这些数字按从小到大排好：{x}", "请从小到大排列：{x}", "帮我排序：{x}", "把下面的数排序：{x}",
        "按大小排序：{x}", "排列这些数字：{x}", "请给下面的数字排个序：{x}", "数字排序：{x}", "这些数从小到大是：{x}",
    ),
}
_REVERSE: Final = {
    EN: form(
        "Reverse this: {x}", "Reverse {x}", "Reverse the list: {x}", "Reverse this list: {x}",
        "Write this backwards: {x}", "Say this backwards: {x}", "Please reverse {x}", "Reverse the order: {x}",
        "Reverse the order of {x}", "Can you reverse {x}?", "Turn this around: {x}", "Put this in reverse order: {x}",
        "Give me this in reverse: {x}", "Backwards, please: {x}", "List in reverse order: {x}", "Flip the order of {x}",
        "From last to first: {x}", "Tell me this in reverse order: {x}", "What is {x} backwards?",
    ),
    ZH: form(
        "倒序：{x}", "把这个倒过来：{x}", "把{x}倒过来", "反过来写：{x}", "请倒序写出：{x}", "倒过来说：{x}",
        "把下面的内容倒序：{x}", "倒着写：{x}", "请反转：{x}", "反转：{x}", "倒着说：{x}", "把顺序反过来：{x}",
        "请把顺序倒过来：{x}", "从后往前写：{x}", "把{x}反过来", "帮我倒序排列：{x}", "从最后一个写到第一个：{x}",
        "请把这个倒着念：{x}",
    ),
}
_COPY: Final = {
    EN: form(
        "Repeat after me: {x}", "Repeat: {x}", "Copy this: {x}", "Say: {x}", "Repeat this: {x}", "Please repeat: {x}",
        "Please copy: {x}", "Echo: {x}", "Write this again: {x}", "Say this: {x}", "Type this: {x}",
        "Can you repeat {x}?", "Copy exactly: {x}", "Repeat exactly: {x}", "Say it after me: {x}",
        "Write exactly this: {x}", "Echo this back: {x}", "Now repeat what I say: {x}",
    ),
    ZH: form(
        "跟我说：{x}", "重复：{x}", "请重复：{x}", "抄写：{x}", "复述：{x}", "请抄写：{x}", "重复一遍：{x}",
        "照着写：{x}", "跟我念：{x}", "请跟我说：{x}", "请照抄：{x}", "把这个再写一遍：{x}", "原样写出：{x}", "说：{x}",
        "请复述：{x}", "请原样重复：{x}", "跟着我说一遍：{x}", "把它照抄一遍：{x}",
    ),
}
_SEPARATOR: Final = {EN: ", ", ZH: "、"}
_WORDS: Final = {EN: LIST_WORDS_ENGLISH, ZH: LIST_WORDS_CHINESE}
_LENGTHS: Final = {1: (2, 2), 2: (3, 3), 3: (4, 5), 4: (6, 8)}
# fmt: on


def _items(rng: random.Random, language: Language, grade: int) -> list[str]:
    """Different words, joined by a separator, or (one time in three) digits written without one."""
    count = rng.randint(*_LENGTHS[grade])
    if rng.random() < 0.33:
        return [str(rng.randrange(10)) for _ in range(count + 1)]
    return rng.sample(_WORDS[language], count)


def _join(items: list[str], language: Language) -> str:
    return ("" if items[0].isdigit() else _SEPARATOR[language]).join(items)


def _task(
    family: str,
    forms: dict[Language, Form],
    language: Language,
    grade: int,
    x: str,
    answer: str,
    held_out: bool,
    rng: random.Random,
) -> Exercise:
    question = forms[language].choose(rng, held_out).format(x=x)
    if rng.random() < 0.3:
        question = typed(question, language, rng)
    return Exercise(family, grade, language, question, answer, Exact(answer), held_out)


def draw_sort(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Two to eight different numbers below one hundred, ascending."""
    numbers = rng.sample(range(100), rng.randint(*_LENGTHS[grade]))
    x, answer = (_SEPARATOR[language].join(map(str, row)) for row in (numbers, sorted(numbers)))
    return _task("sort", _SORT, language, grade, x, answer, held_out, rng)


def draw_reverse(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Words or digits from last to first."""
    items = _items(rng, language, grade)
    return _task(
        "reverse", _REVERSE, language, grade, _join(items, language), _join(items[::-1], language), held_out, rng
    )


def draw_copy(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Words or digits as they stand."""
    x = _join(_items(rng, language, grade), language)
    return _task("copy", _COPY, language, grade, x, x, held_out, rng)
