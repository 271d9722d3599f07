"""Family home: spoken orders to a house, answered by calls in one fixed format, such as lamp.on(kitchen)."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language
from cloud_worker.forge.curriculum.phrasing import form

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
ROOMS: Final = (
    ("kitchen", "厨房"), ("bedroom", "卧室"), ("bathroom", "浴室"), ("garden", "花园"), ("garage", "车库"),
    ("office", "书房"), ("hall", "走廊"), ("attic", "阁楼"),
)
#: Call, English and Chinese name of a device.
DEVICES: Final = (
    ("lamp", "lamp", "灯"), ("fan", "fan", "风扇"), ("heater", "heater", "暖气"), ("radio", "radio", "收音机"),
    ("television", "television", "电视"), ("camera", "camera", "摄像头"),
)
#: Call, and its clauses in both languages; {d} is the device, {r} the room, {n} a number.
_SWITCHES: Final = (
    ("on", ("turn on the {d} in the {r}", "switch on the {d} in the {r}", "turn the {r} {d} on"),
     ("打开{r}的{d}", "把{r}的{d}打开", "开一下{r}的{d}")),
    ("off", ("turn off the {d} in the {r}", "switch off the {d} in the {r}", "turn the {r} {d} off"),
     ("关掉{r}的{d}", "把{r}的{d}关掉", "关闭{r}的{d}")),
)
_LEVELS: Final = (
    ("lamp.set({r}, {n})", ("set the lamp in the {r} to {n}", "turn on the {r} lamp at {n} percent"),
     ("把{r}的灯调到{n}", "打开{r}的灯，亮度{n}")),
    ("heater.set({r}, {n})", ("set the heater in the {r} to {n}", "turn on the {r} heater at {n} degrees"),
     ("把{r}的暖气调到{n}", "打开{r}的暖气，{n}度")),
    ("timer.set({n})", ("set a timer for {n} minutes", "create a timer of {n} minutes"),
     ("设个{n}分钟的定时", "提醒我{n}分钟以后看一下")),
)
_ORDER: Final = {
    EN: form(
        "{c}", "Please {c}.", "{c}, please.", "Can you {c}?", "Could you {c}?", "I want you to {c}.", "Now {c}.",
        "Hey, {c}.", "Would you {c}?", "{c} for me.", "{c} now.", "You should {c}.", "Will you {c}?", "OK, {c}.",
        "Hello, {c}.", "I would like you to {c}.", "Be so kind and {c}.", "It is time to {c}.",
    ),
    ZH: form(
        "{c}", "请{c}。", "{c}。", "帮我{c}。", "麻烦{c}。", "请帮我{c}。", "现在{c}。", "可以{c}吗？", "能{c}吗？",
        "给我{c}。", "我想{c}。", "你好，{c}。", "快{c}。", "好，{c}。", "请你{c}。", "劳驾{c}。", "该{c}了。",
        "可不可以{c}？",
    ),
}
_AND: Final = {EN: (" and ", ", then ", " and then "), ZH: ("，再", "，然后", "，并且")}
# fmt: on
#: Orders by grade, and whether levels and timers occur.
SIZES: Final = {1: (1, False), 2: (1, True), 3: (2, True), 4: (4, True)}


def _order(rng: random.Random, language: Language, levels: bool) -> tuple[str, str]:
    """One clause and its call."""
    side = 0 if language is EN else 1
    room, fields = rng.choice(ROOMS), {"n": rng.randrange(10, 100)}
    if levels and rng.random() < 0.7:
        call, *clauses = rng.choice(_LEVELS)
        return rng.choice(clauses[side]).format(r=room[side], **fields), call.format(r=room[0], **fields)
    device = rng.choice(DEVICES)
    state, *switches = rng.choice(_SWITCHES)
    return rng.choice(switches[side]).format(d=device[1 + side], r=room[side]), f"{device[0]}.{state}({room[0]})"


def draw_home(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A switch (grade 1), a level or timer (2), two orders (3), four orders (4)."""
    count, levels = SIZES[grade]
    clauses, calls = zip(*(_order(rng, language, levels) for _ in range(count)), strict=True)
    asked = clauses[0] + "".join(rng.choice(_AND[language]) + clause for clause in clauses[1:])
    question = _ORDER[language].choose(rng, held_out).format(c=asked)
    answer = "; ".join(calls)
    return Exercise("home", grade, language, question[0].upper() + question[1:], answer, Exact(answer), held_out)
