"""Families greeting, identity and limits: small talk, questions about Edgewise, and what the models cannot know."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language
from cloud_worker.forge.curriculum.greetings import GREETINGS
from cloud_worker.forge.curriculum.identity import IDENTITY
from cloud_worker.forge.curriculum.introductions import introduction
from cloud_worker.forge.curriculum.phrasing import Form, noun_form, typed

EN, ZH = Language.ENGLISH, Language.CHINESE

_Talk = tuple[Form, str]
INTRODUCTIONS: Final = 0.15

# Tables: filled lines, not one phrasing a line.
# fmt: off
_UNKNOWN: Final[dict[Language, tuple[Form, str]]] = {
    EN: (
        noun_form(
            EN,
            (
                "the weather today", "the weather in {city}", "today's news", "the latest news", "the time now",
                "the price of {word}", "the score of the football match", "the stock price", "today's date",
                "the weather tomorrow",
            ),
            "Will it rain today?", "What time is it?", "Who won the match?", "Is it going to rain tomorrow?",
            "What day is it today?", "What happened in the news?", "How much does {word} cost?",
        ),
        "I cannot look that up, because I have no live data.",
    ),
    ZH: (
        noun_form(
            ZH,
            (
                "今天的天气", "{city}的天气", "今天的新闻", "最新的新闻", "现在的时间", "{word}的价格", "球赛的比分",
                "股票的价格", "今天的日期", "明天的天气",
            ),
            "今天会下雨吗？", "现在几点了？", "谁赢了比赛？", "明天会下雨吗？", "今天星期几？", "今天天气怎么样？",
            "{word}多少钱？",
        ),
        "我没有实时数据，查不到这个。",
    ),
}
_CITIES: Final = {EN: ("Paris", "Tokyo", "London", "Beijing", "Rome"), ZH: ("巴黎", "东京", "伦敦", "北京", "罗马")}
_GOODS: Final = {EN: ("rice", "gold", "tea", "bread", "milk"), ZH: ("大米", "黄金", "茶", "面包", "牛奶")}
# fmt: on


def _say(family: str, talk: _Talk, language: Language, held_out: bool, rng: random.Random) -> Exercise:
    forms, answer = talk
    question = typed(forms.choose(rng, held_out), language, rng) if rng.random() < 0.6 else forms.choose(rng, held_out)
    return Exercise(family, 1, language, question, answer, Exact(answer), held_out)


def draw_greeting(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A greeting, thanks, goodbye or mood, or somebody who says their name."""
    if rng.random() < INTRODUCTIONS:
        _, question, answer = introduction(rng, language, held_out)
        return Exercise("greeting", 1, language, question, answer, Exact(answer), held_out)
    return _say("greeting", rng.choice(GREETINGS[language]), language, held_out, rng)


def draw_identity(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A question about the assistant itself."""
    return _say("identity", rng.choice(IDENTITY[language]), language, held_out, rng)


def draw_limits(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A question that needs live data; the right answer is to say so."""
    forms, answer = _UNKNOWN[language]
    text = forms.choose(rng, held_out).format(city=rng.choice(_CITIES[language]), word=rng.choice(_GOODS[language]))
    return Exercise("limits", 1, language, typed(text, language, rng), answer, Exact(answer), held_out)
