"""Families name and follow_up: questions that only the earlier turns can answer."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import chat, facts, lexicon
from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language, Role, Turn
from cloud_worker.forge.curriculum.phrasing import form, typed

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
_GREET: Final = {EN: "Nice to meet you, {n}!", ZH: "很高兴认识你，{n}！"}
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
# fmt: on


def _exchange(exercise: Exercise) -> tuple[Turn, Turn]:
    return Turn(Role.USER, exercise.question), Turn(Role.ASSISTANT, exercise.answer)


def draw_name(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Grade 1: the user says a name. Grade 2: and asks for it. Grade 3: after another exchange."""
    name = rng.choice(lexicon.NAMES_ENGLISH if language is EN else lexicon.NAMES_CHINESE)
    tell = _TELL[language].choose(rng, held_out and grade == 1).format(n=name)
    if grade == 1:
        answer = _GREET[language].format(n=name)
        return Exercise("name", 1, language, tell, answer, Exact(answer), held_out)
    earlier: tuple[Turn, ...] = (Turn(Role.USER, tell), Turn(Role.ASSISTANT, _GREET[language].format(n=name)))
    if grade == 3:
        other = rng.choice((facts.draw_capital, facts.draw_colour, chat.draw_greeting))
        earlier += _exchange(other(rng, language, 1, False))
    answer = _NAMED[language].format(n=name)
    question = typed(_RECALL[language].choose(rng, held_out), language, rng)
    return Exercise("name", grade, language, question, answer, Exact(answer), held_out, earlier)


def draw_follow_up(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A question whose kind comes from the turn before: another capital, or another colour."""
    first = rng.choice((facts.draw_capital, facts.draw_colour))(rng, language, 1, False)
    if first.family == "capital":
        x, answer = facts.capital(rng.choice(lexicon.CAPITALS), language)
    else:
        x, answer = facts.colour(rng.choice(lexicon.COLOURS), language)
    answer = answer[0].upper() + answer[1:]
    question = typed(_NEXT[language].choose(rng, held_out).format(x=x), language, rng)
    return Exercise("follow_up", 2, language, question, answer, Exact(answer), held_out, _exchange(first))
