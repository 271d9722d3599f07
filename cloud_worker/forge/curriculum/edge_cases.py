"""Families unclear, unknown, impossible and messy: what people type that is no clean question, and honest answers."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from cloud_worker.forge.curriculum import facts, lexicon
from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language
from cloud_worker.forge.curriculum.phrasing import Form, form, noun_form

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_UNCLEAR: Final = {
    EN: form(
        "?", "...", "!", "??", "a", "ok", "hmm", "Hm?", "eh", "er", "um", "x", ".", "-", "Huh?", "what", "!!!", "uh",
        "Hmm...", "???", "so",
    ),
    ZH: form(
        "？", "。", "……", "啊", "嗯", "哦", "呃", "额", "？？", "这", "那个", "呀", "！", "哎", "哼", "什么", "唔",
        "。。。", "咦", "？？？", "嗯嗯",
    ),
}
_NOT_UNDERSTOOD: Final = {EN: "I did not understand that. What can I do for you?", ZH: "我没听懂。我能帮你做什么？"}
_UNKNOWN: Final = {
    EN: noun_form(
        EN,
        (
            "the capital of {w}", "the meaning of the word {w}", "the president of {w}", "the history of {w}",
            "the best way to learn {s}", "the newest law about {s}", "the author of a book about {s}",
        ),
        "Who is {w}?", "Where is {w}?", "Which medicine helps against {s}?", "How do I repair {s}?",
        "Who invented {s}?", "Explain {s} to me.", "What do you think of {w}?", "Who won the prize for {s}?",
    ),
    ZH: noun_form(
        ZH,
        ("{w}的首都", "{w}这个词的意思", "{w}的总统", "{w}的历史", "学习{s}的办法", "关于{s}的法律", "写{s}的书的作者"),
        "{w}是谁？", "{w}在哪里？", "什么药能治{s}？", "怎么修{s}？", "谁发明了{s}？", "给我解释{s}。",
        "你觉得{w}怎么样？", "谁得了{s}的奖？",
    ),
}
_NO_IDEA: Final = {EN: "I do not know that.", ZH: "这个我不知道。"}
_SUBJECTS: Final = {
    EN: (
        "quantum physics", "fever", "chess", "engines", "taxes", "history", "painting", "football", "space flight",
        "headaches", "economics", "philosophy", "chemistry", "a motor", "the flu", "opera",
    ),
    ZH: (
        "量子物理", "发烧", "象棋", "发动机", "税务", "绘画", "足球", "航天", "头痛", "经济学", "哲学",
        "化学", "马达", "感冒", "歌剧",
    ),
}
_IMPOSSIBLE: Final = {
    EN: noun_form(
        EN, ("{n} divided by 0", "{n} / 0", "month number {m}", "the last number of all"), "Divide {n} by 0.",
        "Sort this: nothing.", "Name {m} days of the week.", "Which month is number {m}?",
        "Show me a square with {m} sides.", "Draw me a picture of {n} cats.", "Send me an e-mail at {n}:75.",
        "Count to the last number.",
    ),
    ZH: noun_form(
        ZH, ("{n}除以0", "{n}÷0", "第{m}个月", "最后一个数"), "用{n}除以0。", "把空的内容排序。",
        "说出一周里的{m}天。", "第{m}个月是几月？",
        "给我看一个有{m}条边的正方形。", "给我画{n}只猫的画。", "在{n}点75分给我发邮件。", "数到最后一个数。",
    ),
}
_CANNOT: Final = {EN: "That is not possible for me.", ZH: "这个我做不到。"}
_SYLLABLES: Final = {
    EN: "blo fra gur zim vex tro plu dri quo wub nax mip zor kel gly fep",
    ZH: "卜 勒 戈 兹 姆 瓦 克 丝 噜 咔 叽 嘟",
}
_MARKS: Final = {EN: ("!!!", "???", "!", " ?!", "...", ""), ZH: ("！！！", "？？？", "！", "？！", "……", "")}
#: Forms of a question, rows of facts, and the fact of a row.
_ASKED: Final = (
    (facts.CAPITAL, lexicon.CAPITALS, facts.capital),
    (facts.COLOUR, lexicon.COLOURS, facts.colour),
    (facts.OPPOSITE, lexicon.OPPOSITES, facts.opposite),
)
# fmt: on


def _made_up(rng: random.Random, language: Language) -> str:
    """A word that means nothing."""
    word = "".join(rng.choices(_SYLLABLES[language].split(), k=rng.randint(2, 3)))
    return word.capitalize() if language is EN else word


def _say(
    family: str,
    forms: dict[Language, Form],
    answers: dict[Language, str],
    language: Language,
    held_out: bool,
    rng: random.Random,
) -> Exercise:
    fields = {
        "w": _made_up(rng, language),
        "s": rng.choice(_SUBJECTS[language]),
        "n": rng.randrange(2, 100),
        "m": rng.randrange(13, 100),
    }
    question = forms[language].choose(rng, held_out).format(**fields)
    answer = answers[language]
    return Exercise(family, 1, language, question[0].upper() + question[1:], answer, Exact(answer), held_out)


def draw_unclear(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A mark, a sound, or keys pressed at random."""
    exercise = _say("unclear", _UNCLEAR, _NOT_UNDERSTOOD, language, held_out, rng)
    if language is ZH or held_out or rng.random() < 0.6:
        return exercise
    return replace(exercise, question="".join(rng.choices("asdfghjklqwertyzxcvb", k=rng.randint(4, 9))))


def draw_unknown(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Things that do not exist, and matters that these models never learned."""
    return _say("unknown", _UNKNOWN, _NO_IDEA, language, held_out, rng)


def draw_impossible(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """What nobody can do, or no text can."""
    return _say("impossible", _IMPOSSIBLE, _CANNOT, language, held_out, rng)


def _slip(text: str, rng: random.Random) -> str:
    """One slip of the fingers: a letter doubled, left out, or two exchanged; Chinese characters are only doubled."""
    inner = [
        i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i - 1].isalpha() and text[i + 1].isalpha()
    ]
    if not inner:
        return text
    i = rng.choice(inner)
    if not text.isascii():
        return text[:i] + text[i] + text[i:]
    return rng.choice(
        (text[:i] + text[i] + text[i:], text[:i] + text[i + 1 :], text[:i] + text[i + 1] + text[i] + text[i + 2 :])
    )


def _slipped(template: str, count: int, rng: random.Random) -> str:
    """Slips in the words around the field, never in the field itself."""
    before, field, after = template.partition("{x}")
    for _ in range(count):
        if len(before) > len(after):
            before = _slip(before, rng)
        else:
            after = _slip(after, rng)
    return before + field + after


def draw_messy(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A plain fact, asked in a shout (1), with a slip (2), in two languages (3), with slips and shouting (4)."""
    forms, rows, fact = rng.choice(_ASKED)
    row = rng.choice(rows)
    asked, answer = fact(row, language)
    if grade == 3:
        asked = fact(row, ZH if language is EN else EN)[0]
    template = _slipped(forms[language].choose(rng, held_out), {2: 1, 4: 2}.get(grade, 0), rng)
    question = template.replace("{x}", asked)
    if grade in (1, 4):
        question = question.upper().rstrip("?.？。") + rng.choice(_MARKS[language])
    answer = answer[0].upper() + answer[1:]
    return Exercise("messy", grade, language, question, answer, Exact(answer), held_out)
