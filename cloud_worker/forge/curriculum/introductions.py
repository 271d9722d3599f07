"""How people say their name, and how they are greeted by it."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import lexicon
from cloud_worker.forge.curriculum.exercise import Language
from cloud_worker.forge.curriculum.phrasing import form

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_TELL: Final = {
    EN: form(
        "My name is {n}.", "I am {n}.", "I'm {n}.", "Hello, I am {n}.", "Hi, my name is {n}.", "You can call me {n}.",
        "Call me {n}.", "Hi, I'm {n}.", "People call me {n}.", "Hello, my name is {n}.", "The name is {n}.",
        "Please call me {n}.", "I am called {n}.", "Hey, I'm {n}.", "My name's {n}.", "Nice to meet you, I am {n}.",
        "Hi there, my name's {n}.", "{n} is my name.",
    ),
    ZH: form(
        "我叫{n}。", "我的名字是{n}。", "我是{n}。", "你好，我叫{n}。", "你好，我是{n}。", "叫我{n}吧。",
        "我的名字叫{n}。", "大家叫我{n}。", "你可以叫我{n}。", "嗨，我叫{n}。", "我名叫{n}。", "请叫我{n}。",
        "我名字叫{n}。", "您好，我叫{n}。", "嗨，我是{n}。", "你好，我的名字是{n}。", "你就叫我{n}吧。",
        "认识一下，我叫{n}。",
    ),
}
_GREET: Final = {EN: "Nice to meet you, {n}!", ZH: "很高兴认识你，{n}！"}
# fmt: on


def introduction(rng: random.Random, language: Language, held_out: bool) -> tuple[str, str, str]:
    """A name, what its owner says, and the answer that greets them by it."""
    name = rng.choice(lexicon.NAMES_ENGLISH if language is EN else lexicon.NAMES_CHINESE)
    return name, _TELL[language].choose(rng, held_out).format(n=name), _GREET[language].format(n=name)
