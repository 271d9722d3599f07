"""Many ways to ask one thing: forms, the frames they share, and the small noise of people's typing.

A form's phrasings are templates. Some are held out: they never occur in training and measure robustness.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from cloud_worker.forge.curriculum.exercise import Language

# Tables: filled lines, not one phrasing a line.
# fmt: off
_FRAMES: Final[dict[Language, tuple[str, ...]]] = {
    Language.ENGLISH: (
        "What is {np}?", "What's {np}?", "Tell me {np}.", "Can you tell me {np}?", "Could you tell me {np}?",
        "Do you know {np}?", "Please tell me {np}.", "I want to know {np}.", "I would like to know {np}.",
        "Give me {np}.", "Say {np}.", "{np}?", "{np}, please.", "Quick question: what is {np}?", "Question: {np}?",
        "Any idea what {np} is?", "Remind me, what is {np}?", "What is {np}, please?", "So what is {np}?",
        "I wonder what {np} is.", "Do you know what {np} is?", "May I ask what {np} is?",
    ),
    Language.CHINESE: (
        "{np}是什么？", "请问{np}是什么？", "告诉我{np}。", "你知道{np}吗？", "{np}？", "{np}是啥？", "我想知道{np}。",
        "请告诉我{np}。", "能告诉我{np}吗？", "说说{np}。", "请说出{np}。", "问一下，{np}是什么？", "{np}是什么呢？",
        "我想问{np}是什么。", "你知道{np}是什么吗？", "请问{np}？", "麻烦告诉我{np}。", "{np}是什么呀？",
        "问题：{np}是什么？", "你能说出{np}吗？", "请回答：{np}是什么？", "想问问{np}。",
    ),
}
_FRAMES_HELD_OUT: Final[dict[Language, tuple[str, ...]]] = {
    Language.ENGLISH: (
        "Would you tell me what {np} is?", "I forgot: what is {np}?", "Help me, what's {np}?", "I need to know {np}.",
    ),
    Language.CHINESE: ("可以告诉我{np}是什么吗？", "我忘了{np}是什么。", "{np}到底是什么？", "你说{np}是什么？"),
}
_OPENINGS: Final[dict[Language, tuple[str, ...]]] = {
    Language.ENGLISH: ("Hi, ", "Hello, ", "Hey, ", "Please: ", "OK, ", "Hi! ", "Now, ", "Well, ", "Hello! "),
    Language.CHINESE: ("你好，", "嗨，", "那么，", "好的，", "您好，", "你好！", "现在，", "嗯，"),
}
_CLOSINGS: Final[dict[Language, tuple[str, ...]]] = {
    Language.ENGLISH: (" Thanks.", " Thank you!", " Please.", " Thanks!"),
    Language.CHINESE: ("谢谢。", "谢谢！", "拜托了。", "多谢。"),
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Form:
    """Phrasings of one question in one language; templates use str.format fields."""

    known: tuple[str, ...]
    held_out: tuple[str, ...]

    def choose(self, rng: random.Random, held_out: bool) -> str:
        """One template: a held-out one, or one that training may see."""
        return rng.choice(self.held_out if held_out else self.known)


def form(*phrasings: str) -> Form:
    """A form from plain templates; the last three are held out."""
    return Form(phrasings[:-3], phrasings[-3:])


def noun_form(language: Language, nouns: tuple[str, ...], *others: str) -> Form:
    """A form from noun phrases set into every shared frame, and other templates, of which the last two are held out.

    Held out are the unseen frames with every noun phrase.
    """
    framed = tuple(frame.replace("{np}", noun) for frame in _FRAMES[language] for noun in nouns)
    unseen = tuple(frame.replace("{np}", noun) for frame in _FRAMES_HELD_OUT[language] for noun in nouns)
    repeat = max(1, len(framed) // (2 * max(1, len(others))))
    return Form(framed + others[:-2] * repeat, unseen + others[-2:])


def typed(text: str, language: Language, rng: random.Random) -> str:
    """The text as somebody might type it: an opening, a closing, no full stop, no capitals, half-width marks."""
    if rng.random() < 0.12:
        opening = rng.choice(_OPENINGS[language])
        text = opening + (text[0].lower() + text[1:] if language is Language.ENGLISH and text[:2] != "I " else text)
    if rng.random() < 0.07:
        text += rng.choice(_CLOSINGS[language])
    elif rng.random() < 0.25:
        text = text.rstrip("。？?.!！")
    if language is Language.ENGLISH:
        return _typed_english(text, rng)
    return text.replace("？", "?").replace("，", ",") if rng.random() < 0.2 else text


def _typed_english(text: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.15:
        return text.lower()
    if draw < 0.35:
        return text[0].lower() + text[1:]
    return text[0].upper() + text[1:]
