"""Bounds that several subjects share: how large a result may be, and how many steps it may take. No bodies here.

A size counts the characters of a text, the elements of a list or a map; what a list holds inside is priced elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from policies.language.declarations import MAX_STRING
from policies.language.functions import Size

CHARACTERS_PER_STEP: Final = 64
NUMBER: Final = 32
"""No number, moment or type name is longer as text, except a double written without an exponent."""
LONG_NUMBER: Final = 330
"""No double is longer when written without an exponent."""


def reading(sizes: Sequence[int]) -> int:
    """Every text is read once."""
    return 1 + sum(sizes) // CHARACTERS_PER_STEP


def searching(sizes: Sequence[int]) -> int:
    """A text is searched for another: the product of their sizes in the worst case, as the specification has it."""
    return 1 + (1 + sizes[0] // CHARACTERS_PER_STEP) * (1 + sizes[1] // CHARACTERS_PER_STEP)


def copying(sizes: Sequence[int]) -> int:
    """Every element is touched once."""
    return 1 + sum(sizes)


def comparing(sizes: Sequence[int]) -> int:
    """Two lists or maps are compared, as far as the shorter one goes."""
    return 1 + min(sizes)


def holding_texts(sizes: Sequence[int]) -> int:
    """A list of texts is walked, and each is read; the texts are as long as inputs may be."""
    return 1 + sizes[0] * (1 + MAX_STRING // CHARACTERS_PER_STEP)


def joined(sizes: Sequence[int]) -> int:
    """Texts, as long as inputs may be, with a separator after each."""
    return sizes[0] * (MAX_STRING + sum(sizes[1:]))


def replaced(sizes: Sequence[int]) -> int:
    """The new text at every gap between characters, which stay: what an empty old text does."""
    return (sizes[0] + 1) * (sizes[2] + 1)


def replacing(sizes: Sequence[int]) -> int:
    """The text is searched, and the result is written."""
    return searching(sizes) + replaced(sizes) // CHARACTERS_PER_STEP


def times(factor: int, more: int = 0) -> Size:
    """Every character of the first argument becomes so many, and some more."""
    return lambda sizes: factor * sizes[0] + more
