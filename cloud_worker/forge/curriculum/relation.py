"""Family relation: who is whose boss, teacher or friend, over one to three stated hops, written out one by one."""

from __future__ import annotations

import itertools
import random
from typing import Final

from cloud_worker.forge.curriculum import words
from cloud_worker.forge.curriculum.conclusions import Concludes
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.material import laid_out
from cloud_worker.forge.curriculum.phrasing import form

EN, ZH = Language.ENGLISH, Language.CHINESE
_TIES: Final = (("boss", "上司"), ("teacher", "老师"), ("friend", "朋友"), ("neighbor", "邻居"))
#: Hops and facts by grade.
SIZES: Final = {1: (1, 2), 2: (1, 5), 3: (2, 5), 4: (3, 7)}

# Tables: filled lines, not one phrasing a line.
# fmt: off
_ASK: Final = {
    EN: form(
        "Who is {x}?", "Who's {x}?", "Tell me who {x} is.", "Name {x}.", "Do you know who {x} is?", "Find {x}.",
        "I want to know who {x} is.", "Please name {x}.", "Say who {x} is.", "{x}: who is it?",
        "What is the name of {x}?", "Can you tell me who {x} is?", "And who is {x}?", "Which person is {x}?",
        "Please tell me who {x} is.", "Could you say who {x} is?", "I need to know who {x} is.", "Work out who {x} is.",
    ),
    ZH: form(
        "{x}是谁？", "请问{x}是谁？", "告诉我{x}是谁。", "说出{x}。", "你知道{x}是谁吗？", "找出{x}。",
        "我想知道{x}是谁。", "谁是{x}？", "{x}叫什么？", "{x}的名字是什么？", "那么{x}是谁？", "{x}是哪个人？",
        "问一下，{x}是谁？", "请找出{x}。", "{x}是哪一位？", "能告诉我{x}是谁吗？", "想一想，{x}是谁？",
        "{x}到底是谁？",
    ),
}
# fmt: on


def draw_relation(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """One hop among two or five facts, two hops among five, three among seven."""
    hops, count = SIZES[grade]
    tie = rng.choice(_TIES)[0 if language is EN else 1]
    people = words.names(rng, language, count + 1)
    pairs = list(itertools.pairwise(people))
    start = rng.randrange(count - hops + 1)
    path = people[start : start + hops + 1]
    rng.shuffle(pairs)
    asked = _ASK[language].choose(rng, held_out).format(x=_chain(path[0], tie, hops, language))
    text = (" " if language is EN else "").join(_fact(*pair, tie, language) for pair in pairs)
    steps = _steps(path, tie, language)
    question = laid_out(language, text, asked[0].upper() + asked[1:], held_out, rng)
    return Exercise("relation", grade, language, question, f"{steps} → {path[-1]}", Concludes(path[-1]), held_out)


def _fact(one: str, other: str, tie: str, language: Language) -> str:
    return f"The {tie} of {one}: {other}." if language is EN else f"{one}的{tie}：{other}。"


def _steps(path: list[str], tie: str, language: Language) -> str:
    """The hops in the words of the facts, so that each is a copy."""
    hops = list(itertools.pairwise(path))
    if language is ZH:
        return "，".join(f"{one}的{tie}：{other}" for one, other in hops)
    return f"The {tie} " + ", ".join(f"of {one}: {other}" for one, other in hops)


def _chain(start: str, tie: str, hops: int, language: Language) -> str:
    return f"the {tie} of " * hops + start if language is EN else start + f"的{tie}" * hops
