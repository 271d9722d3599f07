"""The registry of families and the mix of conversations drawn from them: shares, earlier turns, system prompts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cloud_worker.forge.curriculum import chat, dialogue, facts, lists, long_answers, sums
from cloud_worker.forge.curriculum.exercise import Exercise, Language, Role, Turn

Draw = Callable[[random.Random, Language, int, bool], Exercise]


@dataclass(frozen=True, slots=True)
class Family:
    """A task family: its name, the grades it has, its share of the training mix, and how one exercise is drawn."""

    name: str
    grades: tuple[int, ...]
    share: float
    draw: Draw


FAMILIES: Final[tuple[Family, ...]] = (
    Family("greeting", (1,), 5, chat.draw_greeting),
    Family("identity", (1,), 4.5, chat.draw_identity),
    Family("limits", (1,), 2, chat.draw_limits),
    Family("capital", (1, 1, 2), 6, facts.draw_capital),
    Family("colour", (1,), 3, facts.draw_colour),
    Family("calendar", (1, 1, 2), 5, facts.draw_calendar),
    Family("animal", (1, 1, 2), 5, facts.draw_animal),
    Family("science", (1,), 5, facts.draw_science),
    Family("opposite", (1,), 4, facts.draw_opposite),
    Family("translate", (1,), 5, facts.draw_translate),
    Family("sum", (1, 1, 2, 2, 2, 3, 3, 3, 4), 20, sums.draw_sum),
    Family("two_step", (3, 4), 5, sums.draw_two_step),
    Family("compare", (1, 2, 3), 3, sums.draw_compare),
    Family("sort", (1, 2, 3, 4), 5, lists.draw_sort),
    Family("reverse", (1, 2, 3, 4), 7, lists.draw_reverse),
    Family("copy", (1, 2, 3, 4), 7, lists.draw_copy),
    Family("name", (1, 2, 3), 5, dialogue.draw_name),
    Family("follow_up", (2,), 4, dialogue.draw_follow_up),
    Family("count", (1, 2, 3, 4), 2, long_answers.draw_count),
    Family("almanac", (2,), 1.2, long_answers.draw_almanac),
    Family("story", (3,), 1.8, long_answers.draw_story),
    Family("poem", (2,), 1.2, long_answers.draw_poem),
)
_SHARES: Final = [family.share for family in FAMILIES]

SYSTEM_PROMPTS: Final = (
    "You are a helpful assistant.",
    "You are Edgewise, a helpful assistant.",
    "You are a friendly assistant. Answer briefly.",
    "Answer the user's questions.",
    "You are a helpful AI assistant.",
    "Be short and correct.",
    "你是一个乐于助人的助手。",
    "你是 Edgewise，一个有用的助手。",
    "请简短地回答。",
    "回答用户的问题。",
    "你是一个友好的助手，请用简短的话回答。",
)
EARLIER_SHARE: Final = 0.18
SYSTEM_SHARE: Final = 0.15


def draw(rng: random.Random, language: Language | None = None) -> Exercise:
    """One exercise of the training mix, never with a held-out phrasing."""
    family = rng.choices(FAMILIES, _SHARES)[0]
    chosen = language or rng.choice((Language.ENGLISH, Language.CHINESE))
    return family.draw(rng, chosen, rng.choice(family.grades), False)


def conversation(rng: random.Random) -> tuple[Turn, ...]:
    """A whole conversation for training: an exercise, sometimes after earlier ones, sometimes under a system prompt."""
    turns: tuple[Turn, ...] = ()
    if rng.random() < SYSTEM_SHARE:
        turns += (Turn(Role.SYSTEM, rng.choice(SYSTEM_PROMPTS)),)
    language = rng.choice((Language.ENGLISH, Language.CHINESE))
    if rng.random() < EARLIER_SHARE:
        for _ in range(rng.randint(1, 2)):
            turns += draw(rng, language).turns()
    return turns + draw(rng, language).turns()


def examination(seed: int, per_cell: int, held_out: bool) -> Iterator[Exercise]:
    """Exercises to be judged: `per_cell` for each family, grade and language."""
    rng = random.Random(f"examination {seed} {held_out}")
    for family in FAMILIES:
        for grade in sorted(set(family.grades)):
            for language in Language:
                for _ in range(per_cell):
                    yield family.draw(rng, language, grade, held_out)
