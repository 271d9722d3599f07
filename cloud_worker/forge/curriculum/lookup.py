"""Families lookup and long_lookup: one stated fact among many, repeated as the answer."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import words
from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language
from cloud_worker.forge.curriculum.material import laid_out
from cloud_worker.forge.curriculum.phrasing import Form, form

EN, ZH = Language.ENGLISH, Language.CHINESE

#: Facts by grade; in the long form, tokens of text by grade (about).
COUNTS: Final = {1: 2, 2: 4, 3: 8, 4: 16}
LONG_TOKENS: Final = {1: (256, 340), 2: (340, 460), 3: (460, 620), 4: (620, 780)}

# Tables: filled lines, not one phrasing a line.
# fmt: off
_PLACE: Final = {
    EN: form(
        "Where is the {k}?", "Where's the {k}?", "Where can I find the {k}?", "Where did I put the {k}?",
        "In which place is the {k}?", "Tell me where the {k} is.", "Where does the {k} lie?", "Find the {k}.",
        "Do you know where the {k} is?", "I am looking for the {k}.", "Please find the {k}.",
        "Where do I find the {k}?", "Can you tell me where the {k} is?", "Where is my {k}?", "And where is the {k}?",
        "I cannot find the {k}.", "Say where the {k} is.", "Where would I find the {k}?",
    ),
    ZH: form(
        "{k}在哪里？", "{k}在哪儿？", "{k}在什么地方？", "请问{k}在哪里？", "我的{k}在哪里？", "哪里有{k}？",
        "找一下{k}。", "告诉我{k}在哪里。", "{k}放在哪里了？", "我在找{k}。", "你知道{k}在哪里吗？", "{k}呢？",
        "{k}放哪儿了？", "请找出{k}。", "帮我找{k}。", "{k}到底在哪里？", "在哪里能找到{k}？", "我找不到{k}。",
    ),
}
_OWNER: Final = {
    EN: form(
        "Whose is the {k}?", "Who owns the {k}?", "Who has the {k}?", "Whose {k} is it?",
        "To whom does the {k} belong?", "Tell me whose the {k} is.", "Who does the {k} belong to?",
        "Who is the owner of the {k}?", "Whose is this {k}?", "Name the owner of the {k}.", "The {k} is whose?",
        "Do you know whose the {k} is?", "Who has got the {k}?", "Please tell me who owns the {k}.",
        "And whose is the {k}?", "Whom does the {k} belong to?", "Say who owns the {k}.", "Which person owns the {k}?",
    ),
    ZH: form(
        "{k}是谁的？", "谁的{k}？", "{k}属于谁？", "请问{k}是谁的？", "告诉我{k}是谁的。", "{k}的主人是谁？",
        "这个{k}是谁的？", "谁有{k}？", "{k}归谁？", "你知道{k}是谁的吗？", "那么{k}是谁的？", "谁是{k}的主人？",
        "说说{k}是谁的。", "{k}是哪个人的？", "问一下，{k}是谁的？", "{k}到底是谁的？", "{k}归谁所有？", "谁拥有{k}？",
    ),
}
_PRICE: Final = {
    EN: form(
        "How much is the {k}?", "What does the {k} cost?", "How much does the {k} cost?", "The price of the {k}?",
        "What is the price of the {k}?", "Tell me the price of the {k}.", "How many dollars is the {k}?",
        "Find the price of the {k}.", "I want to buy the {k}. How much is it?", "What do I pay for the {k}?",
        "Price of the {k}, please.", "Do you know the price of the {k}?", "Give me the price of the {k}.",
        "And how much is the {k}?", "What's the price of the {k}?", "What must I pay for the {k}?",
        "Look up the price of the {k}.", "How expensive is the {k}?",
    ),
    ZH: form(
        "{k}多少钱？", "{k}的价格是多少？", "{k}要多少钱？", "请问{k}多少钱？", "{k}几元？", "{k}卖多少钱？",
        "告诉我{k}的价格。", "{k}的价钱是多少？", "我想买{k}，多少钱？", "查一下{k}的价格。", "你知道{k}多少钱吗？",
        "一个{k}多少钱？", "那{k}多少钱？", "{k}的价格？", "说说{k}的价格。", "{k}怎么卖？", "买{k}要花多少钱？",
        "{k}贵不贵，多少钱？",
    ),
}
_FILLERS: Final = {
    EN: (
        "The {a} likes the {f}.", "A {a} sat by the road.", "It was a {c} day.", "Some {c} birds flew by.",
        "Nobody saw the {a}.", "People ate {f} cake.", "Then it began to rain.", "The wind was cold.",
    ),
    ZH: (
        "{a}喜欢吃{f}。", "路边坐着一只{a}。", "那是{c}的一天。", "几只{c}的小鸟飞过。", "没有人看见{a}。",
        "大家吃了{f}蛋糕。", "后来下起了雨。", "风有点冷。",
    ),
}
# fmt: on
_FLAVOURS: Final[tuple[tuple[dict[Language, Form], str, str], ...]] = (
    (_PLACE, "The {k} is in the {v}.", "{k}在{v}里。"),
    (_OWNER, "The {k} is {v}'s.", "{k}是{v}的。"),
    (_PRICE, "The {k} costs {v} dollars.", "{k}的价格是{v}元。"),
)


def _value(rng: random.Random, flavour: int, language: Language) -> str:
    if flavour == 0:
        return rng.choice(words.column(words.PLACES, language))
    return words.names(rng, language, 1)[0] if flavour == 1 else str(rng.randrange(11, 100))


def _facts(rng: random.Random, language: Language, count: int) -> list[tuple[int, str, str]]:
    """(flavour, key, sentence) of `count` facts about different things."""
    found = []
    kinds = [rng.randrange(3)] if count < 8 else [0, 1, 2]
    for key in rng.sample(words.column(words.THINGS, language), count):
        flavour = rng.choice(kinds)
        _, english, chinese = _FLAVOURS[flavour]
        sentence = english if language is EN else chinese
        found.append((flavour, key, sentence.format(k=key, v=_value(rng, flavour, language))))
    return found


def _filler(rng: random.Random, language: Language) -> str:
    pick = {name: rng.choice(words.column(pairs, language)) for name, pairs in _FILLER_WORDS.items()}
    return rng.choice(_FILLERS[language]).format(**pick)


_FILLER_WORDS: Final = {"a": words.ANIMALS, "f": words.FRUITS, "c": words.COLOURS}


def _asked(
    rng: random.Random, language: Language, held_out: bool, facts: list[tuple[int, str, str]], text: list[str]
) -> tuple[str, str]:
    """The whole message about one of the facts, and the answer."""
    flavour, key, sentence = rng.choice(facts)
    ask = _FLAVOURS[flavour][0][language].choose(rng, held_out).format(k=key)
    return laid_out(language, (" " if language is EN else "").join(text), ask, held_out, rng), sentence


def draw_lookup(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Two, four, eight or sixteen facts."""
    facts = _facts(rng, language, COUNTS[grade])
    question, answer = _asked(rng, language, held_out, facts, [sentence for *_, sentence in facts])
    return Exercise("lookup", grade, language, question, answer, Exact(answer), held_out)


def draw_long_lookup(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A text of 256 to 900 tokens: twenty to forty facts between sentences that do not matter."""
    tokens = rng.randint(*LONG_TOKENS[grade])
    facts = _facts(rng, language, min(40, tokens // 16))
    text = [sentence for *_, sentence in facts]
    while _tokens(text, language) < tokens:
        text.insert(rng.randrange(len(text) + 1), _filler(rng, language))
    question, answer = _asked(rng, language, held_out, facts, text)
    return Exercise("long_lookup", grade, language, question, answer, Exact(answer), held_out, long_context=True)


def _tokens(text: list[str], language: Language) -> int:
    """Tokens when no word is split: a character each in Chinese; words, marks and digits in English."""
    if language is ZH:
        return sum(map(len, text))
    return sum(part.count(" ") + 2 + sum(map(str.isdigit, part)) for part in text)
