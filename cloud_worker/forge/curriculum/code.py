"""Family code: lines and functions of Python, from a small grammar of requests."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.checks import PythonSource
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.phrasing import form

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
NAMES: Final = ("add", "work", "first", "task", "value", "count", "make", "find", "run", "last", "step", "solve")
LETTERS: Final = "abcdkmnpqrxyz"
#: English, Chinese, Python.
OPERATIONS: Final = (
    ("the sum of {a} and {b}", "{a}与{b}的和", "{a} + {b}"),
    ("the difference of {a} and {b}", "{a}与{b}的差", "{a} - {b}"),
    ("the product of {a} and {b}", "{a}与{b}的积", "{a} * {b}"),
    ("the larger of {a} and {b}", "{a}和{b}中较大的", "max({a}, {b})"),
    ("the smaller of {a} and {b}", "{a}和{b}中较小的", "min({a}, {b})"),
)
LISTS: Final = (
    ("the sum of the list {a}", "列表{a}的和", "sum({a})"),
    ("the length of the list {a}", "列表{a}的长度", "len({a})"),
    ("the largest item of the list {a}", "列表{a}的最大值", "max({a})"),
    ("the smallest item of the list {a}", "列表{a}的最小值", "min({a})"),
    ("the sorted list {a}", "排好序的列表{a}", "sorted({a})"),
)
AROUND: Final = (
    ("the sum of", "的和", "sum"), ("the largest of", "的最大值", "max"), ("the smallest of", "的最小值", "min"),
    ("the number of", "的个数", "len"), ("the list of", "的列表", "list"),
)
MAPS: Final = (
    ("the squares", "平方", "{x} * {x}"), ("the doubles", "两倍", "{x} * 2"), ("the successors", "加一", "{x} + 1"),
    ("the items", "各项", "{x}"),
)
FILTERS: Final = (
    ("that are even", "偶数", "{x} % 2 == 0"), ("that are odd", "奇数", "{x} % 2 == 1"),
    ("above {n}", "大于{n}的数", "{x} > {n}"), ("below {n}", "小于{n}的数", "{x} < {n}"),
)
_PRINT: Final = {
    EN: form(
        "Write Python code that prints {v}.", "Python: print {v}", "Print {v} in Python.", "Code to print {v}.",
        "How do I print {v} in Python?", "Write code that prints {v}.", "Python code to print {v}, please.",
        "Show me Python code that prints {v}.", "Give me code to print {v}.", "In Python, print {v}.",
        "A line of Python that prints {v}.", "Please write code to print {v}.", "Write a Python line to print {v}.",
        "I need code that prints {v}.", "Can you write code to print {v}?", "Which Python code prints {v}?",
        "A Python program that prints {v}.", "Make Python print {v}.",
    ),
    ZH: form(
        "写一行Python代码，打印{v}。", "用Python打印{v}。", "Python代码：打印{v}", "写代码打印{v}。",
        "怎么用Python打印{v}？", "请写代码打印{v}。", "给我打印{v}的代码。", "打印{v}的Python代码。", "用代码打印{v}。",
        "写一段打印{v}的程序。", "请用Python打印{v}。", "我要打印{v}的代码。", "帮我写代码打印{v}。",
        "写个程序打印{v}。", "代码：打印{v}", "哪行代码能打印{v}？", "编程打印{v}。", "用Python程序打印{v}。",
    ),
}
_FUNCTION: Final = {
    EN: form(
        "Write a Python function {f} that returns {v}.", "Write a function {f} that returns {v}.",
        "Python function {f}: returns {v}", "A function {f} that returns {v}, please.",
        "Code a function {f} that gives {v}.", "Please write a function {f} for {v}.",
        "Define a function {f} that returns {v}.", "I need a Python function {f} that returns {v}.",
        "Make a function {f} returning {v}.", "Give me a function {f} that returns {v}.",
        "Can you write a function {f} that returns {v}?", "Function {f} should return {v}.",
        "In Python, write a function {f} for {v}.", "Show me a function {f} that returns {v}.",
        "Write Python code: function {f} returns {v}.", "Create a Python function {f} which returns {v}.",
        "The function {f} returns {v}. Write it.", "Could you define a function {f} giving {v}?",
    ),
    ZH: form(
        "写一个Python函数{f}，返回{v}。", "写函数{f}，返回{v}。", "Python函数{f}：返回{v}", "请写函数{f}，返回{v}。",
        "定义函数{f}，返回{v}。", "我要一个函数{f}，返回{v}。", "写个函数{f}，求{v}。", "给我一个函数{f}，返回{v}。",
        "用Python写函数{f}，返回{v}。", "函数{f}要返回{v}。", "请定义函数{f}，返回{v}。", "帮我写函数{f}，返回{v}。",
        "编写函数{f}，返回{v}。", "写代码：函数{f}返回{v}。", "做一个函数{f}，返回{v}。", "请编一个函数{f}，求{v}。",
        "能写函数{f}返回{v}吗？", "函数{f}返回{v}，请写出来。",
    ),
}
# fmt: on


def _values(rng: random.Random, grade: int) -> tuple[str, str, str, str]:
    """What is wanted in English and in Chinese, its Python, and the parameters."""
    a, b = rng.sample(LETTERS, 2)
    if grade == 1:
        a, b = str(rng.randrange(2, 10)), str(rng.randrange(2, 10))
    if grade < 3:
        english, chinese, source = rng.choice((*OPERATIONS, *LISTS) if grade == 2 else OPERATIONS)
        return (
            english.format(a=a, b=b),
            chinese.format(a=a, b=b),
            source.format(a=a, b=b),
            a + (f", {b}" * ("{b}" in source)),
        )
    return *_comprehension(rng, a, b, grade), a


def _comprehension(rng: random.Random, items: str, item: str, grade: int) -> tuple[str, str, str]:
    """A function of a list of mapped items, of which grade 4 picks some."""
    around, mapped, kept = rng.choice(AROUND), rng.choice(MAPS), rng.choice(FILTERS)
    number = rng.randrange(2, 10)
    inner = f"[{mapped[2].format(x='x')} for x in {items}"
    english, chinese = f"{around[0]} {mapped[0]} of the list {items}", f"列表{items}{mapped[1]}{around[1]}"
    if grade == 4:
        inner += f" if {kept[2].format(x='x', n=number)}"
        english += f" {kept[0].format(n=number)}"
        chinese = f"列表{items}中{kept[1].format(n=number)}的{mapped[1]}{around[1]}"
    inner += "]"
    return english, chinese, inner if around[2] == "list" else f"{around[2]}({inner})"


def draw_code(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Print a result (1), a function of two values or a list (2), of mapped items (3), of some of them (4)."""
    english, chinese, source, parameters = _values(rng, grade)
    name = rng.choice(NAMES)
    forms = (_PRINT if grade == 1 else _FUNCTION)[language]
    question = forms.choose(rng, held_out).format(v=english if language is EN else chinese, f=name)
    answer = f"print({source})" if grade == 1 else f"def {name}({parameters}): return {source}"
    return Exercise("code", grade, language, question, answer, PythonSource(answer), held_out)
