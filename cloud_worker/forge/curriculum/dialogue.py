"""Families name, memory and follow_up: questions that only the earlier turns can answer; the grade is the distance."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import chat, facts, lexicon, words
from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language, Role, Turn
from cloud_worker.forge.curriculum.introductions import introduction
from cloud_worker.forge.curriculum.phrasing import Form, form, typed

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_RECALL: Final = {
    EN: form(
        "What is my name?", "What's my name?", "Who am I?", "Do you know my name?", "Do you remember my name?",
        "Tell me my name.", "Say my name.", "Can you tell me my name?", "What am I called?", "My name is?",
        "Remember my name?", "Please tell me my name.", "And what is my name?", "How am I called?",
        "So what is my name?", "Do you still know my name?", "Did I tell you my name?", "Could you say my name?",
    ),
    ZH: form(
        "我叫什么名字？", "我叫什么？", "我是谁？", "你知道我的名字吗？", "你记得我的名字吗？", "告诉我我的名字。",
        "我的名字是什么？", "说出我的名字。", "你还记得我叫什么吗？", "请问我叫什么名字？", "我的名字叫什么？",
        "你记得我是谁吗？", "那我叫什么？", "我叫啥？", "还记得我的名字吗？", "你能说出我的名字吗？",
        "刚才我说我叫什么？", "你知道我是谁吗？",
    ),
}
_NAMED: Final = {EN: "Your name is {n}.", ZH: "你叫{n}。"}
_NEXT: Final = {
    EN: form(
        "And {x}?", "And of {x}?", "What about {x}?", "How about {x}?", "And for {x}?", "And the one of {x}?",
        "Now {x}?", "And what about {x}?", "{x}?", "Then {x}?", "OK, and {x}?", "And how about {x}?", "Next: {x}.",
        "Same for {x}?", "And {x}, please?", "Good. And {x}?", "Now tell me {x}.", "Okay, what about {x}?",
    ),
    ZH: form(
        "那{x}呢？", "{x}呢？", "还有{x}呢？", "那么{x}呢？", "{x}的呢？", "那{x}的呢？", "换成{x}呢？", "再说说{x}。",
        "{x}又如何？", "好，{x}呢？", "接着是{x}呢？", "那如果是{x}呢？", "下一个，{x}。", "现在{x}呢？",
        "再来，{x}呢？", "好的，那{x}呢？", "请问{x}呢？", "然后{x}呢？",
    ),
}
_STATE: Final = {
    EN: form(
        "My {k} is {v}.", "Remember: my {k} is {v}.", "Please remember that my {k} is {v}.", "Note that my {k} is {v}.",
        "By the way, my {k} is {v}.", "I tell you: my {k} is {v}.", "You should know that my {k} is {v}.",
        "Keep in mind that my {k} is {v}.", "Hi, my {k} is {v}.", "Also, my {k} is {v}.",
        "Just so you know, my {k} is {v}.", "For later: my {k} is {v}.", "Do not forget, my {k} is {v}.",
        "Well, my {k} is {v}.", "Listen, my {k} is {v}.", "Write down that my {k} is {v}.", "Mind this: my {k} is {v}.",
        "Let me say that my {k} is {v}.",
    ),
    ZH: form(
        "我的{k}是{v}。", "记住，我的{k}是{v}。", "请记住我的{k}是{v}。", "告诉你，我的{k}是{v}。",
        "对了，我的{k}是{v}。", "你记一下，我的{k}是{v}。", "别忘了我的{k}是{v}。", "另外，我的{k}是{v}。",
        "你好，我的{k}是{v}。", "顺便说，我的{k}是{v}。", "请记下我的{k}是{v}。", "要知道，我的{k}是{v}。",
        "记着，我的{k}是{v}。", "听好，我的{k}是{v}。", "嗯，我的{k}是{v}。", "请你记得我的{k}是{v}。",
        "帮我记住，我的{k}是{v}。", "先说一下，我的{k}是{v}。",
    ),
}
_ASK: Final = {
    EN: form(
        "What is my {k}?", "What's my {k}?", "Tell me my {k}.", "Do you remember my {k}?", "Do you know my {k}?",
        "Which is my {k}?", "And what is my {k}?", "Say my {k}.", "Can you tell me my {k}?", "Please tell me my {k}.",
        "So what is my {k}?", "What did I say is my {k}?", "Remind me of my {k}.", "My {k}?",
        "Do you still know my {k}?", "I forgot my {k}.", "Could you say my {k}?", "Now, what is my {k}?",
    ),
    ZH: form(
        "我的{k}是什么？", "我的{k}是啥？", "告诉我我的{k}。", "你记得我的{k}吗？", "你知道我的{k}吗？",
        "我的{k}是哪个？", "那我的{k}是什么？", "说出我的{k}。", "请告诉我我的{k}。", "能说说我的{k}吗？",
        "我说过我的{k}是什么？", "我的{k}呢？", "还记得我的{k}吗？", "我的{k}？", "请问我的{k}是什么？",
        "我忘了我的{k}。", "你能说出我的{k}吗？", "现在说说我的{k}。",
    ),
}
_NOTED: Final = {EN: "I will remember that.", ZH: "我记住了。"}
_SAID: Final = {EN: "Your {k} is {v}.", ZH: "你的{k}是{v}。"}
#: What people tell of themselves.
TOLD: Final[tuple[tuple[str, str, words.Pairs], ...]] = (
    ("favorite color", "幸运色", words.COLOURS), ("home town", "家乡", words.CITIES),
    ("birth month", "生日月", lexicon.MONTHS),
    ("day off", "休息日", lexicon.DAYS), ("lucky number", "号码", ()),
    ("best friend", "好友", tuple(zip(lexicon.NAMES_ENGLISH, lexicon.NAMES_CHINESE, strict=False))),
)
# fmt: on
#: Facts told and unrelated exchanges after them, by grade.
MEMORY: Final = {1: (1, 0), 2: (2, 0), 3: (3, 1), 4: (5, 2)}
NAME_DISTANCE: Final = {1: 0, 2: 1, 3: 2, 4: 4}


def _exchange(exercise: Exercise) -> tuple[Turn, Turn]:
    return Turn(Role.USER, exercise.question), Turn(Role.ASSISTANT, exercise.answer)


def _aside(rng: random.Random, language: Language, count: int) -> tuple[Turn, ...]:
    """Exchanges about something else."""
    turns: tuple[Turn, ...] = ()
    for _ in range(count):
        draw = rng.choice((facts.draw_capital, facts.draw_colour, facts.draw_opposite, chat.draw_greeting))
        turns += _exchange(draw(rng, language, 1, False))
    return turns


def draw_name(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """The user has said a name and asks for it: at once (grade 1), or one, two or four exchanges later."""
    name, said, greeting = introduction(rng, language, held_out=False)
    told = (Turn(Role.USER, said), Turn(Role.ASSISTANT, greeting))
    answer = _NAMED[language].format(n=name)
    question = typed(_RECALL[language].choose(rng, held_out), language, rng)
    earlier = told + _aside(rng, language, NAME_DISTANCE[grade])
    return Exercise("name", grade, language, question, answer, Exact(answer), held_out, earlier)


def draw_memory(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """One to five things told, one of them asked for, after up to two exchanges about something else."""
    count, distance = MEMORY[grade]
    side, earlier = (0 if language is EN else 1), []
    said = []
    for row in rng.sample(TOLD, count):
        value = rng.choice(words.column(row[2], language)) if row[2] else str(rng.randrange(10, 100))
        said.append({"k": row[side], "v": value})
        earlier.append(Turn(Role.USER, _STATE[language].choose(rng, held_out=False).format(**said[-1])))
        earlier.append(Turn(Role.ASSISTANT, _NOTED[language]))
    asked = rng.choice(said)
    question = _ASK[language].choose(rng, held_out).format(**asked)
    answer = _SAID[language].format(**asked)
    before = (*earlier, *_aside(rng, language, distance))
    return Exercise("memory", grade, language, question, answer, Exact(answer), held_out, before)


#: Kinds of questions that a follow-up may continue: how the first is asked, and the next fact of the kind.
_KINDS: Final = (
    (facts.draw_capital, lexicon.CAPITALS, facts.capital),
    (facts.draw_colour, lexicon.COLOURS, facts.colour),
    (facts.draw_opposite, lexicon.OPPOSITES, facts.opposite),
)


def draw_follow_up(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """“And x?” after one question (grade 1: capitals), after one of several kinds (2), after two (3) or three (4)."""
    kinds = rng.sample(_KINDS[:1] if grade == 1 else _KINDS, 1 if grade < 3 else grade - 1)
    earlier: tuple[Turn, ...] = ()
    for first, _, _ in kinds:
        earlier += _exchange(first(rng, language, 1, False))
    _, rows, fact = kinds[-1]
    x, answer = fact(rng.choice(rows), language)
    answer = answer[0].upper() + answer[1:]
    forms: dict[Language, Form] = _NEXT
    question = typed(forms[language].choose(rng, held_out).format(x=x), language, rng)
    return Exercise("follow_up", grade, language, question, answer, Exact(answer), held_out, earlier)
