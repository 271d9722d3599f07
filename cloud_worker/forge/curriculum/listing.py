"""Family listing: name so many things of a kind, in order, leaving some out. Any right list is accepted."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import words
from cloud_worker.forge.curriculum.checks import Listing
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.lexicon import MONTHS
from cloud_worker.forge.curriculum.phrasing import form

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
KINDS: Final = (
    ("fruits", "水果", words.FRUITS), ("animals", "动物", words.ANIMALS), ("colors", "颜色", words.COLOURS),
    ("cities", "城市", words.CITIES[:8]), ("jobs", "职业", words.JOBS[:8]), ("months", "月份", MONTHS[:8]),
    ("places", "地方", words.PLACES[:8]),
)
_COUNTS: Final = {EN: ("", "one", "two", "three", "four", "five"), ZH: ("", "一", "两", "三", "四", "五")}
_ASK: Final = {
    EN: form(
        "Name {n} {k}{b}.", "Tell me {n} {k}{b}.", "List {n} {k}{b}.", "Give me {n} {k}{b}.", "Say {n} {k}{b}.",
        "Write exactly {n} {k}{b}.", "Exactly {n} {k}{b}.", "{n} {k}{b}, please.", "Please name {n} {k}{b}.",
        "Can you name {n} {k}{b}?", "I want {n} {k}{b}.", "Write {n} {k}{b}.", "Answer with exactly {n} {k}{b}.",
        "Which {n} {k} do you know{b}?", "Give exactly {n} {k}{b}.", "Mention {n} {k}{b}.", "I need {n} {k}{b}.",
        "Please list exactly {n} {k}{b}.",
    ),
    ZH: form(
        "说出{n}个{k}{b}。", "写{n}个{k}{b}。", "列出{n}个{k}{b}。", "给我{n}个{k}{b}。", "请说{n}个{k}{b}。",
        "{n}个{k}{b}。", "请写出{n}个{k}{b}。", "告诉我{n}个{k}{b}。", "只写{n}个{k}{b}。", "请列出{n}个{k}{b}。",
        "我要{n}个{k}{b}。", "请说出{n}个{k}{b}。", "正好写{n}个{k}{b}。", "你知道哪{n}个{k}{b}？", "讲{n}个{k}{b}。",
        "举{n}个{k}{b}。", "请举出{n}个{k}{b}。", "想{n}个{k}{b}。",
    ),
}
_BUT: Final = {EN: (" without {x}", " but not {x}", " except {x}"), ZH: ("，不要{x}", "，不能有{x}", "，除了{x}")}
# fmt: on
#: Things asked for, and things left out, by grade.
SIZES: Final = {1: ((1, 3), 0), 2: ((2, 4), 1), 3: ((3, 4), 2), 4: ((4, 5), 3)}


def draw_listing(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """One to five things of a kind; from grade 2, one to three that must not be named."""
    (low, high), left_out = SIZES[grade]
    english, chinese, pairs = rng.choice(KINDS)
    known = words.column(pairs, language)
    count = min(rng.randint(low, high), len(known) - left_out)
    unwanted = rng.sample(known[: count + left_out], left_out)
    fit = [word for word in known if word not in unwanted]
    and_ = (" and " if language is EN else "和").join(unwanted)
    but = rng.choice(_BUT[language]).format(x=and_) if unwanted else ""
    kind = (english if count > 1 else _single(english)) if language is EN else chinese
    question = _ASK[language].choose(rng, held_out).format(n=_COUNTS[language][count], k=kind, b=but)
    answer = (", " if language is EN else "、").join(fit[:count])
    check = Listing(frozenset(word.lower() for word in fit), count)
    return Exercise("listing", grade, language, question[0].upper() + question[1:], answer, check, held_out)


def _single(noun: str) -> str:
    return noun[:-3] + "y" if noun.endswith("ies") else noun[:-1]
