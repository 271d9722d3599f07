"""Family translate: a word, a phrase, a counted phrase and a sentence of a small grammar, into the other language."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import lexicon
from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language
from cloud_worker.forge.curriculum.phrasing import noun_form
from cloud_worker.forge.curriculum.transform import plural

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_ASK: Final = {
    EN: noun_form(
        EN, ("the Chinese for {x}", "{x} in Chinese"), "How do you say {x} in Chinese?", "Translate {x} into Chinese.",
        "Translate {x} to Chinese.", "How is {x} said in Chinese?", "What does {x} mean in Chinese?",
        "What do you call {x} in Chinese?", "Put {x} into Chinese.",
    ),
    ZH: noun_form(
        ZH, ("{x}的英语", "“{x}”的英文", "{x}的英文"), "{x}用英语怎么说？", "{x}英语怎么说？", "把{x}翻译成英语。",
        "{x}翻译成英文是什么？", "请把“{x}”翻译成英文。", "{x}用英文怎么讲？",
    ),
}
#: Noun, Chinese noun, its measure word.
NOUNS: Final = tuple(tuple(row.split("|")) for row in (
    "dog|狗|只", "cat|猫|只", "bird|鸟|只", "fish|鱼|条", "horse|马|匹", "rabbit|兔子|只", "apple|苹果|个",
    "pear|梨|个", "book|书|本", "pen|笔|支", "chair|椅子|把", "table|桌子|张", "door|门|扇", "window|窗户|扇",
    "house|房子|座", "car|汽车|辆", "train|火车|列", "tree|树|棵", "flower|花|朵", "star|星星|颗",
))
ADJECTIVES: Final = (
    ("red", "红色"), ("blue", "蓝色"), ("green", "绿色"), ("yellow", "黄色"), ("white", "白色"), ("black", "黑色"),
)
NUMBERS: Final = (("two", "两"), ("three", "三"), ("four", "四"), ("five", "五"), ("six", "六"), ("seven", "七"))
SUBJECTS: Final = (
    ("I", "我"), ("you", "你"), ("we", "我们"), ("they", "他们"), ("the teacher", "老师"), ("the doctor", "医生"),
    ("my mother", "我妈妈"), ("my father", "我爸爸"), ("my friend", "我朋友"),
)
#: Plain form, third person, Chinese.
VERBS: Final = (
    ("have", "has", "有"), ("see", "sees", "看见"), ("want", "wants", "想要"), ("buy", "buys", "买"),
    ("draw", "draws", "画"),
)
# fmt: on


def _phrase(rng: random.Random, counted: bool) -> tuple[str, str]:
    """A coloured thing, or several."""
    (noun, chinese, measure), (colour, chinese_colour) = rng.choice(NOUNS), rng.choice(ADJECTIVES)
    if not counted:
        return f"{colour} {noun}", f"{chinese_colour}的{chinese}"
    number, chinese_number = rng.choice(NUMBERS)
    several = "fish" if noun == "fish" else plural(noun)
    return f"{number} {colour} {several}", f"{chinese_number}{measure}{chinese_colour}的{chinese}"


def _sentence(rng: random.Random) -> tuple[str, str]:
    (subject, chinese_subject), (verb, third, chinese_verb) = rng.choice(SUBJECTS), rng.choice(VERBS)
    things, chinese_things = _phrase(rng, counted=True)
    does = third if subject.startswith(("the ", "my ")) else verb
    return f"{subject} {does} {things}", f"{chinese_subject}{chinese_verb}{chinese_things}"


def _pair(rng: random.Random, grade: int) -> tuple[str, str]:
    if grade == 1:
        return rng.choice(lexicon.WORDS)
    return _sentence(rng) if grade == 4 else _phrase(rng, counted=grade == 3)


def draw_translate(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A word, a coloured thing, several coloured things, a sentence."""
    english, chinese = _pair(rng, grade)
    source = english if language is EN else chinese
    question = _ASK[language].choose(rng, held_out).replace("{x}", source)
    answer = f"“{english}” in Chinese is {chinese}." if language is EN else f"“{chinese}”的英语是 {english}。"
    question = question[0].upper() + question[1:]
    return Exercise("translate", grade, language, question, answer, Exact(answer), held_out)
