"""Families count, tally and pick: counting to a number, counting the items of a list, and naming the n-th of them.

Every number of a count carries its target and every item its index, so that a small model sees where to stop.
"""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.commands import command_form
from cloud_worker.forge.curriculum.conclusions import Concludes, Sequence
from cloud_worker.forge.curriculum.exercise import Exercise, FinalNumber, Language
from cloud_worker.forge.curriculum.lexicon import LIST_WORDS_CHINESE, LIST_WORDS_ENGLISH
from cloud_worker.forge.curriculum.lists import joined
from cloud_worker.forge.curriculum.phrasing import Form, typed
from cloud_worker.forge.curriculum.steps import ARROW

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_TO: Final = {
    EN: command_form(
        EN,
        (
            "count to {n}", "count up to {n}", "count from 1 to {n}", "say the numbers from 1 to {n}",
            "list the numbers from 1 to {n}", "write the numbers from 1 to {n}", "count all the way to {n}",
            "start at 1 and count to {n}", "count slowly to {n}",
        ),
        ("Let us count to {n}", "How do you count to {n}?", "From 1 to {n}, please", "The numbers from 1 to {n}?"),
        ("Show me how to count to {n}", "Count for me up to {n}", "Which numbers come from 1 to {n}?"),
    ),
    ZH: command_form(
        ZH,
        (
            "数到{n}", "从1数到{n}", "列出1到{n}的数", "写出1到{n}", "说出1到{n}的数字", "慢慢数到{n}",
            "从1开始数到{n}", "一个一个数到{n}", "把1到{n}数一遍",
        ),
        ("数数，数到{n}", "我们一起数到{n}", "从1到{n}怎么数？", "我想听你数到{n}"),
        ("给我从1数到{n}", "从1开始数，数到{n}", "1到{n}有哪些数？"),
    ),
}
_FROM: Final = {
    EN: command_form(
        EN,
        (
            "count from {m} to {n}", "count up from {m} to {n}", "say the numbers from {m} to {n}",
            "list the numbers from {m} to {n}", "write the numbers from {m} to {n}", "start at {m} and count to {n}",
            "begin with {m} and count up to {n}",
        ),
        ("Let us count from {m} to {n}", "How do you count from {m} to {n}?", "From {m} to {n}, please"),
        ("Show me how to count from {m} to {n}", "Count for me, {m} to {n}", "Which numbers come from {m} to {n}?"),
    ),
    ZH: command_form(
        ZH,
        (
            "从{m}数到{n}", "列出{m}到{n}的数", "写出{m}到{n}", "说出{m}到{n}的数字", "从{m}开始数到{n}",
            "慢慢从{m}数到{n}", "把{m}到{n}数一遍",
        ),
        ("数数，从{m}到{n}", "我们一起从{m}数到{n}", "从{m}到{n}怎么数？", "我想听你从{m}数到{n}"),
        ("给我从{m}数到{n}", "从{m}开始数，数到{n}", "{m}到{n}有哪些数？"),
    ),
}
_ALL: Final = {
    EN: Form(
        (
            "How many items are in this list: {x}?", "How many items are there: {x}?", "Count the items: {x}",
            "Count the words: {x}", "How many words are there in: {x}?", "How long is this list: {x}?",
            "Please count the items: {x}", "Count these items: {x}", "How many things do I name: {x}?",
            "The number of items in {x}?", "Can you count these: {x}?", "How many are there: {x}?",
            "Count this list: {x}", "How many items does {x} have?", "What is the number of words in {x}?",
            "How many words do you see: {x}?",
        ),
        (
            "How many entries are in this list: {x}?", "Tell me how many items there are: {x}",
            "What is the length of this list: {x}?", "Say how many words this has: {x}",
        ),
    ),
    ZH: Form(
        (
            "这里有几个词：{x}？", "有几个：{x}", "数一数有几个词：{x}", "{x}一共几个？", "一共有多少个：{x}？",
            "这个列表有几项：{x}？", "请数一数：{x}", "数数有几个：{x}", "这些词有几个：{x}？", "{x}有几个词？",
            "请问有几个词：{x}？", "下面有多少个词：{x}", "列表里有多少项：{x}？", "算算有几个：{x}", "帮我数数：{x}",
            "总共几个词：{x}？",
        ),
        ("数数这些词有多少个：{x}", "{x}总共有几个？", "告诉我这里有几个词：{x}", "这一串有几项：{x}？"),
    ),
}
_ONE: Final = {
    EN: Form(
        (
            'How many times does {w} occur in: {x}?', 'How often does {w} occur in: {x}?', "Count {w} in: {x}",
            "How many times is {w} in this list: {x}?", "How often is {w} in: {x}?", "How many {w} are in: {x}?",
            "How many times do you see {w}: {x}?", "Count how often {w} occurs: {x}", "Please count {w} in: {x}",
            "How often do I say {w}: {x}?", "Count the word {w} in: {x}", "Number of times {w} is named: {x}",
            "Can you count {w} in: {x}?", "How many times do I name {w}: {x}?", "How often is {w} named in: {x}?",
        ),
        (
            "How often does {w} appear in: {x}?", "Tell me how many times {w} is in: {x}",
            "Look for {w} and count it: {x}", "Find how often {w} occurs in this list: {x}",
        ),
    ),
    ZH: Form(
        (
            "{w}出现了几次：{x}？", "数一数有几个{w}：{x}", "有几个{w}：{x}", "{w}有几个：{x}？",
            "这里有几个{w}：{x}？", "{w}出现几次：{x}", "数数{w}出现的次数：{x}", "列表里有多少个{w}：{x}？",
            "请数一数{w}有几个：{x}", "一共有几个{w}：{x}？", "{w}说了几次：{x}？", "算算有几个{w}：{x}",
            "请问{w}出现了几次：{x}？", "帮我数数{w}：{x}", "下面有多少个{w}：{x}",
        ),
        ("{w}一共出现多少次：{x}？", "告诉我有几个{w}：{x}", "看看{w}出现了几回：{x}", "找一找有多少个{w}：{x}"),
    ),
}
_NTH: Final = {
    EN: Form(
        (
            "What is the {k} item of: {x}?", "What is the {k} word in: {x}?", "Which item is the {k} one: {x}?",
            "Tell me the {k} item: {x}", "Which word is {k}: {x}?", "Give me the {k} item of: {x}",
            "The {k} item of {x}?", "Find the {k} word: {x}", "What comes {k} in: {x}?", "Name the {k} item: {x}",
            "Say the {k} word of: {x}", "Please give me the {k} item: {x}", "Pick the {k} item from: {x}",
            "Which word comes {k}: {x}?", "Can you tell me the {k} item of: {x}?", "I want the {k} word: {x}",
        ),
        (
            "Which is the {k} item in this list: {x}?", "Show me the {k} item of: {x}",
            "What stands in the {k} place: {x}?", "Choose the {k} word from: {x}",
        ),
    ),
    ZH: Form(
        (
            "第{k}个是什么：{x}？", "第{k}个词是什么：{x}？", "{x}的第{k}个是什么？", "说出第{k}个：{x}",
            "告诉我第{k}个：{x}", "哪个是第{k}个：{x}？", "请说出第{k}个词：{x}", "列表的第{k}项是什么：{x}？",
            "找出第{k}个词：{x}", "第{k}项是哪个：{x}？", "{x}，第{k}个是？", "给我第{k}个：{x}",
            "请问第{k}个是什么：{x}？", "排在第{k}的是什么：{x}？", "选出第{k}个：{x}", "我要第{k}个词：{x}",
        ),
        ("下面的第{k}个词是哪个：{x}？", "{x}里第{k}个是哪个？", "念出第{k}个：{x}", "看看第{k}个是什么：{x}"),
    ),
}
_ORDINALS: Final = {
    EN: ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    ZH: ("一", "二", "三", "四", "五", "六", "七", "八", "九", "十"),
}
_WORDS: Final = {EN: LIST_WORDS_ENGLISH, ZH: LIST_WORDS_CHINESE}
_LENGTHS: Final = {1: (2, 3), 2: (4, 5), 3: (6, 7), 4: (8, 10)}
# fmt: on


def counted(first: int, last: int) -> str:
    """`3/7 4/7 5/7 6/7 7/7`: every number with the target beside it."""
    return " ".join(f"{number}/{last}" for number in range(first, last + 1))


def draw_count(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Count from one to a digit or to at most 12 (grades 1, 2), or from any number below 100 over 6 to 15 numbers."""
    if grade < 3:
        first, last = 1, rng.randint(*((3, 7) if grade == 1 else (8, 12)))
    else:
        first = rng.randrange(2, 86)
        last = first + rng.randint(*((5, 8) if grade == 3 else (10, 14)))
    form = (_TO if first == 1 else _FROM)[language]
    question = typed(form.choose(rng, held_out).format(m=first, n=last), language, rng)
    check = Sequence(tuple(range(first, last + 1)))
    return Exercise("count", grade, language, question, counted(first, last), check, held_out)


def _numbered(items: list[str], language: Language) -> str:
    return joined(
        [f"{index} {item}" if language is EN else f"{index}{item}" for index, item in enumerate(items, 1)], language
    )


def _counted_up(items: list[str], counts: list[int], language: Language) -> str:
    space = " " if language is EN else ""
    return joined([f"{item}{space}{count}" for item, count in zip(items, counts, strict=True)], language)


def running(items: list[str], target: str) -> list[int]:
    """How often the target stands up to each place."""
    return [items[:end].count(target) for end in range(1, len(items) + 1)]


def tallied(items: list[str], target: str | None, language: Language) -> tuple[str, int]:
    """The items with their indices or, with a target, with its running count; then the total after an arrow."""
    if target is None:
        return f"{_numbered(items, language)}{ARROW}{len(items)}", len(items)
    counts = running(items, target)
    label = f"Count {target}: " if language is EN else f"数{target}："
    return f"{label}{_counted_up(items, counts, language)}{ARROW}{counts[-1]}", counts[-1]


def _repeating(rng: random.Random, language: Language, grade: int) -> tuple[list[str], str]:
    """A list in which one word occurs one or more times among different others, and that word."""
    length = rng.randint(*_LENGTHS[grade])
    words = rng.sample(_WORDS[language], length)
    target = words[0]
    items = [target] * rng.randint(1, max(1, length - 1)) + words[1:]
    items = items[:length]
    rng.shuffle(items)
    return items, target


def draw_tally(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """How many items a list of two to ten words has, or how often one of them occurs."""
    items, target = _repeating(rng, language, grade)
    whole = rng.random() < 0.4
    answer, total = tallied(items, None if whole else target, language)
    form = (_ALL if whole else _ONE)[language].choose(rng, held_out)
    question = typed(form.format(x=joined(items, language), w=target), language, rng)
    return Exercise("tally", grade, language, question, answer, FinalNumber(total), held_out)


def draw_pick(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """The n-th of two to ten different words."""
    items = rng.sample(_WORDS[language], rng.randint(*_LENGTHS[grade]))
    place = rng.randint(1, len(items))
    form = _NTH[language].choose(rng, held_out)
    question = typed(form.format(x=joined(items, language), k=_ORDINALS[language][place - 1]), language, rng)
    answer = f"{_numbered(items[:place], language)}{ARROW}{items[place - 1]}"
    return Exercise("pick", grade, language, question, answer, Concludes(items[place - 1]), held_out)
