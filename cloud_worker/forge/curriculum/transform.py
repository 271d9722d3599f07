"""Family transform: each word of a list changed in one way (capitals, plural, initials; traditional, measure words).

English answers begin with a label, so that every word has a space before it, as in the question: one token.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from cloud_worker.forge.curriculum.checks import SameSigns
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.phrasing import Form, form

EN, ZH = Language.ENGLISH, Language.CHINESE
#: Words in the list by grade.
LENGTHS: Final = {1: (1, 1), 2: (2, 3), 3: (4, 5), 4: (6, 8)}

# Tables: filled lines, not one phrasing a line.
# fmt: off
ENGLISH: Final = [
    "apple", "banana", "grape", "peach", "tiger", "lion", "rabbit", "monkey", "panda", "star", "car", "train",
    "plane", "table", "chair", "window", "house", "school", "city", "friend", "teacher", "doctor", "eye", "garden",
    "phone", "pencil", "bag", "river", "bird", "horse",
]
TRADITIONAL: Final = dict(pair.split("=") for pair in (
    "火车=火車", "飞机=飛機", "电话=電話", "学校=學校", "老师=老師", "医生=醫生", "音乐=音樂", "花园=花園",
    "时间=時間", "图画=圖畫", "中国=中國", "小鸟=小鳥", "金鱼=金魚", "白马=白馬", "大门=大門", "大风=大風",
    "白云=白雲", "红灯=紅燈", "长龙=長龍", "小鸡=小雞", "东边=東邊", "说话=說話", "写书=寫書", "开关=開關",
    "问号=問號", "银钱=銀錢", "铁头=鐵頭", "热汤=熱湯", "听见=聽見", "绿叶=綠葉",
))
MEASURED: Final = dict(pair.split("=") for pair in (
    "书=一本书", "狗=一只狗", "马=一匹马", "鱼=一条鱼", "车=一辆车", "笔=一支笔", "桌子=一张桌子",
    "椅子=一把椅子", "树=一棵树", "花=一朵花", "牛=一头牛", "纸=一张纸", "房子=一座房子", "飞机=一架飞机",
    "电影=一部电影", "衣服=一件衣服", "河=一条河", "山=一座山", "猫=一只猫", "鸟=一只鸟", "苹果=一个苹果",
    "老师=一位老师", "雨伞=一把雨伞", "地图=一张地图", "歌=一首歌",
))
_FORMS: Final[dict[str, Form]] = {
    "upper": form(
        "Write in capital letters: {x}", "In capitals: {x}", "Capital letters: {x}", "Make this upper case: {x}",
        "Upper case: {x}", "Write {x} in capitals", "Turn into capitals: {x}", "Please write in capitals: {x}",
        "Put {x} in capital letters", "Use capital letters: {x}", "All capitals: {x}", "Convert to upper case: {x}",
        "Write with big letters: {x}", "In upper case, please: {x}", "Can you write {x} in capitals?",
        "Change to capital letters: {x}", "Everything in capitals: {x}", "Give me {x} in capital letters",
    ),
    "plural": form(
        "Write the plural: {x}", "Plural: {x}", "Give the plural of {x}", "Make plural: {x}", "The plural of {x}?",
        "Plural form: {x}", "What is the plural of {x}?", "Put {x} into the plural", "Tell me the plural of {x}",
        "Turn into plural: {x}", "Please write the plural of {x}", "More than one: {x}", "Write the plural of {x}",
        "Can you make {x} plural?", "Plurals, please: {x}", "Change to plural: {x}", "Say the plural of {x}",
        "Form the plural: {x}",
    ),
    "initials": form(
        "Write the first letters: {x}", "First letters: {x}", "First letter of each word: {x}", "Initials: {x}",
        "Give the first letters of {x}", "Only the first letters: {x}", "The first letters of {x}?",
        "Tell me the first letters of {x}", "Take the first letters: {x}", "Which letters do these begin with: {x}",
        "Initial letters: {x}", "What letters start these words: {x}", "Write the initials of {x}",
        "Please give the first letters: {x}", "Keep the first letters: {x}", "Show the first letters of {x}",
        "The first letter of each: {x}", "Each word's first letter: {x}",
    ),
    "traditional": form(
        "写成繁体：{x}", "繁体：{x}", "把{x}写成繁体", "请写成繁体：{x}", "转成繁体字：{x}", "用繁体写：{x}",
        "变成繁体：{x}", "{x}的繁体", "{x}用繁体怎么写？", "繁体字：{x}", "请用繁体写出：{x}", "把{x}转成繁体",
        "改成繁体：{x}", "简体转繁体：{x}", "帮我写成繁体：{x}", "请转换成繁体：{x}", "{x}的繁体怎么写？",
        "用繁体字写出{x}",
    ),
    "measure": form(
        "加上量词：{x}", "量词：{x}", "给{x}加上量词", "请加量词：{x}", "给这些词加量词：{x}", "填量词：{x}",
        "{x}用什么量词？", "写出量词：{x}", "请给{x}加上量词", "{x}的量词", "为{x}配上量词", "加量词：{x}",
        "配量词：{x}", "一什么{x}？", "带上量词写：{x}", "用量词说：{x}", "{x}该用什么量词？", "请写上量词：{x}",
    ),
    "firsts": form(
        "写出每个词的第一个字：{x}", "第一个字：{x}", "每个词的第一个字：{x}", "取第一个字：{x}", "只写第一个字：{x}",
        "首字：{x}", "{x}的第一个字", "写首字：{x}", "请写出首字：{x}", "给出每个词的首字：{x}",
        "把第一个字写出来：{x}", "留下第一个字：{x}", "请取首字：{x}", "{x}的首字是什么？", "说出第一个字：{x}",
        "请写每个词的头一个字：{x}", "挑出第一个字：{x}", "只留首字：{x}",
    ),
}
# fmt: on


def plural(word: str) -> str:
    """The regular English plural."""
    if word.endswith(("ch", "s", "x")):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


_Change = tuple[str, str, list[str], Callable[[str], str]]
_CHANGES: Final[dict[Language, tuple[_Change, ...]]] = {
    EN: (
        ("upper", "Capitals: ", ENGLISH, str.upper),
        ("plural", "Plural: ", ENGLISH, plural),
        ("initials", "Letters: ", ENGLISH, lambda word: word[0]),
    ),
    ZH: (
        ("traditional", "", list(TRADITIONAL), TRADITIONAL.__getitem__),
        ("measure", "", list(MEASURED), MEASURED.__getitem__),
        ("firsts", "", list(TRADITIONAL), lambda word: word[0]),
    ),
}


def draw_transform(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """One to eight words."""
    name, label, pool, change = rng.choice(_CHANGES[language])
    chosen = rng.sample(pool, rng.randint(*LENGTHS[grade]))
    separator = ", " if language is EN else "、"
    answer = label + separator.join(map(change, chosen))
    question = _FORMS[name].choose(rng, held_out).format(x=separator.join(chosen))
    return Exercise("transform", grade, language, question, answer, SameSigns(answer), held_out)
