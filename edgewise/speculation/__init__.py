"""Drafting tokens ahead, as device and cloud share it: what a drafter is, and drafts from the text itself. Pure.

How many drafts are worth their rows is each engine's own choice; that a draft never changes an answer is
edgewise.generation.sampling's doing.
"""

from edgewise.speculation.drafter import Drafter, NoDrafter
from edgewise.speculation.ngram import NgramDrafter
from edgewise.speculation.prompt_lookup import LONGEST_MATCH, MOST_DRAFTS, WINDOW_TOKENS, Draft, PromptLookup

__all__ = [
    "LONGEST_MATCH",
    "MOST_DRAFTS",
    "WINDOW_TOKENS",
    "Draft",
    "Drafter",
    "NgramDrafter",
    "NoDrafter",
    "PromptLookup",
]
