"""The bilingual curriculum: task families drawn from a seed, each exercise with its reference answer and its check."""

from cloud_worker.forge.curriculum.exercise import Check, Exact, Exercise, FinalNumber, Kind, Language, Role, Task, Turn
from cloud_worker.forge.curriculum.families import FAMILIES, Family
from cloud_worker.forge.curriculum.mixture import (
    EVEN,
    MIX,
    SYSTEM_PROMPTS,
    Emphasis,
    conversation,
    draw,
    examination,
)
from cloud_worker.forge.curriculum.sensitive import twin, twins

__all__ = [
    "EVEN",
    "FAMILIES",
    "MIX",
    "SYSTEM_PROMPTS",
    "Check",
    "Emphasis",
    "Exact",
    "Exercise",
    "Family",
    "FinalNumber",
    "Kind",
    "Language",
    "Role",
    "Task",
    "Turn",
    "conversation",
    "draw",
    "examination",
    "twin",
    "twins",
]
