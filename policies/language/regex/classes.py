"""The named sets of characters: \\d and its kin, POSIX classes, general categories and scripts of Unicode."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Final

from policies.language.regex.ranges import ANYTHING, Ranges, union
from policies.language.regex.scripts import SCRIPTS

DIGIT: Final[Ranges] = ((0x30, 0x39),)
WORD: Final[Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACE: Final[Ranges] = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
NEWLINE: Final[Ranges] = ((0x0A, 0x0A),)

PERL: Final[Mapping[str, Ranges]] = {"d": DIGIT, "s": SPACE, "w": WORD}

POSIX: Final[Mapping[str, Ranges]] = {
    "alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "ascii": ((0x00, 0x7F),),
    "blank": ((0x09, 0x09), (0x20, 0x20)),
    "cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "digit": DIGIT,
    "graph": ((0x21, 0x7E),),
    "lower": ((0x61, 0x7A),),
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "upper": ((0x41, 0x5A),),
    "word": WORD,
    "xdigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}

_SCANNED: Final = (range(0x3400), range(0x4DB0, 0x4E10), range(0x9FF0, 0xAC10), range(0xD790, 0xD800))
_SCANNED_HIGH: Final = (range(0xF900, 0x40000), range(0xE0000, 0xE1000))
_EVEN: Final = {
    "Lo": ((0x3400, 0x4DAF), (0x4E10, 0x9FEF), (0xAC10, 0xD78F)),
    "Cs": ((0xD800, 0xDFFF),),
    "Co": ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD)),
}
"""Long stretches of one category, which need no look at each character."""


def unicode_class(name: str) -> Ranges | None:
    """The set that `\\p{name}` means: `Any`, a general category such as `L` or `Lu`, or a script; None for no such."""
    if name == "Any":
        return ANYTHING
    return SCRIPTS[name] if name in SCRIPTS else _categories().get(name)


def unicode_names() -> list[str]:
    """All names that `unicode_class` knows."""
    return ["Any", *_categories(), *SCRIPTS]


@cache
def _categories() -> Mapping[str, Ranges]:
    """General categories of two letters and of one, as the Unicode tables of this Python have them."""
    found: dict[str, list[tuple[int, int]]] = {name: list(ranges) for name, ranges in _EVEN.items()}
    for span in (*_SCANNED, *_SCANNED_HIGH):
        for point in span:
            category = unicodedata.category(chr(point))
            if category != "Cn":
                found.setdefault(category, []).append((point, point))
    fine = {name: union(pairs) for name, pairs in found.items()}
    wide = {first: union(r for name, ranges in fine.items() if name[0] == first for r in ranges) for first in "CLMNPSZ"}
    return wide | fine
