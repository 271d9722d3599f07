"""The nearest known word to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_LONGEST_WORD: Final = 64


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word nearest to `word`, or an empty string when none is near."""
    if len(word) > _LONGEST_WORD:
        return ""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return near[0] if near else ""


def remedy(word: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or an empty string."""
    near = did_you_mean(word, known)
    return f"did you mean {near}?" if near else ""
