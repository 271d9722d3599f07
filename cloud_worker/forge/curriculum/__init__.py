"""The bilingual curriculum: task families drawn from a seed, each exercise with its reference answer and its check."""

from cloud_worker.forge.curriculum.exercise import Check, Exact, Exercise, FinalNumber, Language, Role, Turn
from cloud_worker.forge.curriculum.mixture import FAMILIES, SYSTEM_PROMPTS, Family, conversation, draw, examination

__all__ = [
    "FAMILIES",
    "SYSTEM_PROMPTS",
    "Check",
    "Exact",
    "Exercise",
    "Family",
    "FinalNumber",
    "Language",
    "Role",
    "Turn",
    "conversation",
    "draw",
    "examination",
]
