"""Family clock: a time of day some minutes later, and the weekday some days later or earlier."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.conclusions import Concludes
from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.lists import joined
from cloud_worker.forge.curriculum.phrasing import Form, typed
from cloud_worker.forge.curriculum.steps import ARROW, step

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_DAYS: Final = {
    EN: ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ZH: ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
}
_TIME: Final = {
    EN: Form(
        (
            "What time is it {s} after {t}?", "It is {t}. What time is it in {s}?", "What time is {s} after {t}?",
            "It is {t} now. What time will it be in {s}?", "{t} plus {s}?", "What is {t} plus {s}?",
            "Add {s} to {t}.", "The film starts at {t} and takes {s}. When does it end?", "{s} after {t}?",
            "{s} later than {t}?", "A train leaves at {t} and travels for {s}. When does it arrive?",
            "I start at {t} and need {s}. When am I done?", "It is {t}. Which time is it {s} later?",
            "Which time is {s} after {t}?", "Starting at {t}, what time is it after {s}?",
            "A lesson begins at {t} and lasts {s}. When does it end?", "Please add {s} to {t}.", "{t} + {s} = ?",
        ),
        (
            "Now it is {t}. What will the clock show in {s}?",
            "We leave at {t} and drive for {s}. When do we arrive?", "What does the clock say {s} after {t}?",
            "If it is {t} now, what time will it be {s} later?",
        ),
    ),
    ZH: Form(
        (
            "{t}过{s}是几点？", "现在是{t}，过{s}是几点？", "{t}之后{s}是几点？", "{t}加{s}是几点？",
            "从{t}开始，{s}后是几点？", "电影{t}开始，放{s}，几点结束？", "火车{t}出发，开{s}，几点到？",
            "现在{t}，{s}以后几点？", "{t}再过{s}是几点？", "{t}的{s}后是几点？", "课{t}开始，上{s}，几点下课？",
            "请问{t}过{s}是几点？", "{t}+{s}=?", "我{t}开始，要{s}，几点完成？", "{t}后{s}是什么时间？",
            "时间是{t}，{s}后呢？", "{t}往后{s}是几点？",
        ),
        (
            "现在是{t}，{s}之后是什么时候？", "我们{t}出门，走{s}，几点到？", "如果现在是{t}，再等{s}是几点？",
            "{t}经过{s}是几点钟？",
        ),
    ),
}
_DAY: Final = {
    EN: {
        True: Form(
            (
                "Today is {d}. Which day is it in {n} days?", "What day is {n} days after {d}?",
                "Which day comes {n} days after {d}?", "Today is {d}. What day will it be in {n} days?",
                "It is {d}. What day is it in {n} days?", "{n} days after {d}?",
                "What day of the week is {n} days after {d}?", "{d} plus {n} days?",
                "Which weekday is {n} days after {d}?", "Name the day {n} days after {d}.",
                "Tell me the day {n} days after {d}.", "If today is {d}, what day is it in {n} days?",
                "Count {n} days on from {d}.", "Starting on {d}, what day is it after {n} days?",
                "The day {n} days after {d} is?",
            ),
            (
                "It is {d} today. Which weekday follows in {n} days?", "Which day will it be {n} days from {d}?",
                "Say what day it is {n} days after {d}.", "Go {n} days forward from {d}.",
            ),
        ),
        False: Form(
            (
                "Today is {d}. Which day was it {n} days ago?", "What day is {n} days before {d}?",
                "Which day comes {n} days before {d}?", "Today is {d}. What day was it {n} days ago?",
                "{n} days before {d}?", "It is {d}. What day was it {n} days ago?",
                "What day of the week is {n} days before {d}?", "{d} minus {n} days?",
                "Which weekday is {n} days before {d}?", "Name the day {n} days before {d}.",
                "Tell me the day {n} days before {d}.", "If today is {d}, what day was it {n} days ago?",
                "Count {n} days back from {d}.", "Starting on {d}, what day was it {n} days before?",
                "The day {n} days before {d} is?",
            ),
            (
                "It is {d} today. Which weekday was it {n} days ago?", "Which day was {n} days earlier than {d}?",
                "Say what day it was {n} days before {d}.", "Go {n} days back from {d}.",
            ),
        ),
    },
    ZH: {
        True: Form(
            (
                "今天{d}，{n}天后是星期几？", "{d}的{n}天后是星期几？", "{d}过{n}天是星期几？",
                "今天是{d}，再过{n}天是星期几？", "{d}之后{n}天是星期几？", "从{d}往后数{n}天是星期几？",
                "{d}加{n}天是星期几？", "现在是{d}，{n}天以后是星期几？", "{d}再过{n}天呢？",
                "请问{d}的{n}天后是星期几？", "{n}天后是星期几？今天{d}。", "如果今天{d}，{n}天后是星期几？",
                "{d}后第{n}天是星期几？", "{d}，过{n}天是哪天？", "说出{d}的{n}天后是星期几。",
            ),
            (
                "要是今天{d}，再过{n}天是星期几？", "{d}往后{n}天是哪一天？", "告诉我{d}的{n}天后是星期几。",
                "今天{d}，等{n}天是星期几？",
            ),
        ),
        False: Form(
            (
                "今天{d}，{n}天前是星期几？", "{d}的{n}天前是星期几？", "{d}之前{n}天是星期几？",
                "今天是{d}，{n}天以前是星期几？", "从{d}往前数{n}天是星期几？", "{d}减{n}天是星期几？",
                "现在是{d}，{n}天之前是星期几？", "请问{d}的{n}天前是星期几？", "{n}天前是星期几？今天{d}。",
                "如果今天{d}，{n}天前是星期几？", "{d}前第{n}天是星期几？", "{d}，往回{n}天是哪天？",
                "说出{d}的{n}天前是星期几。", "{d}倒数{n}天是星期几？", "{d}往回数{n}天呢？",
            ),
            (
                "要是今天{d}，{n}天前是星期几？", "{d}往前{n}天是哪一天？", "告诉我{d}的{n}天前是星期几。",
                "今天{d}，回到{n}天前是星期几？",
            ),
        ),
    },
}
# fmt: on


def later(hour: int, minute: int, hours: int, minutes: int) -> tuple[str, str]:
    """Worked steps of a time of day plus a span below a day, minutes first, and the time reached (`9:05`)."""
    steps, total = [], minute + minutes
    if minutes:
        steps.append(step(minute, "+", minutes))
    if total >= 60:
        steps.append(f"{total}-60={total - 60}")
    terms = [hour, *(more for more in (hours, total // 60) if more)]
    if len(terms) > 1:
        steps.append(f"{'+'.join(map(str, terms))}={sum(terms):02d}")
    if sum(terms) >= 24:
        steps.append(f"{sum(terms)}-24={sum(terms) - 24}")
    hour = sum(terms)
    reached = f"{hour % 24}:{total % 60:02d}"
    return "; ".join(steps) + ARROW + reached, reached


def weekday(day: int, days: int, language: Language) -> tuple[str, str]:
    """The days passed one by one with their number, and the day reached; day 0 is Monday, `days` may be negative."""
    names, step = _DAYS[language], 1 if days > 0 else -1
    passed = [names[(day + step * count) % 7] for count in range(1, abs(days) + 1)]
    space = " " if language is EN else ""
    walk = joined([f"{count}{space}{name}" for count, name in enumerate(passed, 1)], language)
    return f"{walk}{ARROW}{passed[-1]}", passed[-1]


def _span(hours: int, minutes: int, language: Language) -> str:
    if language is ZH:
        return (f"{hours}小时" if hours else "") + (f"{minutes}分钟" if minutes else "")
    parts = [f"{hours} hour" + "s" * (hours > 1)] * bool(hours) + [f"{minutes} minutes"] * bool(minutes)
    return " and ".join(parts)


def _draw_time(rng: random.Random, language: Language, grade: int) -> tuple[dict[str, object], str, str]:
    """Whole hours; minutes within the hour; minutes into the next hour; hours and minutes, perhaps past midnight."""
    hour, minute, hours, minutes = rng.randrange(1, 10), 5 * rng.randrange(12), 0, 0
    if grade == 1:
        minute, hours = rng.choice((0, 30)), rng.randrange(1, 6)
    elif grade == 2:
        minute = 5 * rng.randrange(10)
        minutes = 5 * rng.randint(1, 11 - minute // 5)
    elif grade == 3:
        minute = 5 * rng.randrange(3, 12)
        minutes = 5 * rng.randint(12 - minute // 5, 11)
    else:
        hour, minute, hours, minutes = (
            rng.randrange(6, 24),
            rng.randrange(60),
            rng.randrange(1, 9),
            rng.randrange(5, 60),
        )
    answer, reached = later(hour, minute, hours, minutes)
    return {"t": f"{hour}:{minute:02d}", "s": _span(hours, minutes, language)}, answer, reached


def draw_clock(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """Half the draws add to a time of day, half walk along the week: up to 2, 4, 7 and 12 days."""
    if rng.random() < 0.5:
        fields, answer, reached = _draw_time(rng, language, grade)
        form = _TIME[language]
    else:
        forward, day = rng.random() < 0.7, rng.randrange(7)
        days = rng.randint(*{1: (2, 3), 2: (4, 5), 3: (6, 8), 4: (9, 12)}[grade])
        answer, reached = weekday(day, days if forward else -days, language)
        fields, form = {"d": _DAYS[language][day], "n": days}, _DAY[language][forward]
    question = typed(form.choose(rng, held_out).format(**fields), language, rng)
    return Exercise("clock", grade, language, question, answer, Concludes(reached), held_out)
