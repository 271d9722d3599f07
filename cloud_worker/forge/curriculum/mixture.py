"""The mix of the training conversations: shares of the kinds, earlier turns, sensitive twins, system prompts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from cloud_worker.forge.curriculum.exercise import Exercise, Kind, Language, Role, Turn
from cloud_worker.forge.curriculum.families import FAMILIES, Family
from cloud_worker.forge.curriculum.sensitive import twin

#: Single-turn, multi-turn, task and edge-case exercises in a hundred.
MIX: Final = {Kind.SINGLE: 40, Kind.MULTI: 30, Kind.TASK: 20, Kind.EDGE_CASE: 10}
#: Of the multi-turn ones: single and task exercises after others, rather than those that lean on earlier turns.
AFTER_OTHERS_SHARE: Final = 0.7
TWIN_SHARE: Final = 0.03
SYSTEM_SHARE: Final = 0.15
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
Emphasis = tuple[int, int, int, int]
"""How often each of the four grades is drawn against the others, 1 or more."""
EVEN: Final[Emphasis] = (1, 1, 1, 1)
_GREETED: Final = {
    Language.ENGLISH: (Turn(Role.USER, "Hello"), Turn(Role.ASSISTANT, "Hello! How can I help you today?")),
    Language.CHINESE: (Turn(Role.USER, "你好"), Turn(Role.ASSISTANT, "你好！今天我能帮你做什么？")),
}


def _of_kind(*kinds: Kind) -> tuple[list[Family], list[float]]:
    families = [family for family in FAMILIES if family.kind in kinds]
    return families, [family.share for family in families]


_POOLS: Final = {kind: _of_kind(kind) for kind in Kind}
_PLAIN: Final = _of_kind(Kind.SINGLE, Kind.TASK)


def draw(rng: random.Random, language: Language | None = None, emphasis: Emphasis = EVEN) -> Exercise:
    """One exercise of the training mix, never with a held-out phrasing; `emphasis` shifts the grades of a family."""
    chosen = language or rng.choice((Language.ENGLISH, Language.CHINESE))
    kind = rng.choices(list(MIX), list(MIX.values()))[0]
    if kind is Kind.MULTI and rng.random() < AFTER_OTHERS_SHARE:
        exercise = _after_others(rng, chosen, emphasis)
    else:
        exercise = _drawn(rng, chosen, *_POOLS[kind], emphasis)
    return twin(exercise, rng) if rng.random() < TWIN_SHARE else exercise


def _drawn(
    rng: random.Random, language: Language, families: list[Family], shares: list[float], emphasis: Emphasis
) -> Exercise:
    family = rng.choices(families, shares)[0]
    grades = [grade for grade in family.grades for _ in range(emphasis[grade - 1])]
    return family.exercise(rng, language, rng.choice(grades), False)


def _after_others(rng: random.Random, language: Language, emphasis: Emphasis) -> Exercise:
    """A single or task exercise after one or two others that have nothing to do with it."""
    exercise = _drawn(rng, language, *_PLAIN, emphasis)
    earlier: tuple[Turn, ...] = ()
    for _ in range(rng.randint(1, 2)):
        other = _drawn(rng, language, *_PLAIN, emphasis)
        earlier += () if other.long_context else other.turns()
    return replace(exercise, earlier=earlier or _GREETED[language], kind=Kind.MULTI)


def conversation(rng: random.Random, emphasis: Emphasis = EVEN) -> tuple[Turn, ...]:
    """A whole conversation for training: an exercise of the mix, sometimes under a system prompt."""
    turns = draw(rng, emphasis=emphasis).turns()
    return (Turn(Role.SYSTEM, rng.choice(SYSTEM_PROMPTS)), *turns) if rng.random() < SYSTEM_SHARE else turns


def examination(seed: int, per_cell: int, held_out: bool) -> Iterator[Exercise]:
    """Exercises to be judged: `per_cell` for each family, grade and language."""
    rng = random.Random(f"examination {seed} {held_out}")
    for family in FAMILIES:
        for grade in sorted(set(family.grades)):
            for language in Language:
                for _ in range(per_cell):
                    yield family.exercise(rng, language, grade, held_out)
