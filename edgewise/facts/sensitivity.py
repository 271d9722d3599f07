"""How grave the text of a request is: public < internal < personal < secret.

Tells which kinds of things were found, never their text. What is not found is not thereby harmless: names and free
descriptions go unseen here, so a caller who knows better declares it (`request.declare`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from edgewise.facts.formats import DIGITS, FORMATS, Format

SENSITIVITIES: Final = ("public", "internal", "personal", "secret")

#: Text beyond this many characters is not scanned, and therefore counts as personal.
MAX_SCANNED: Final = 1_000_000

_PLAIN_SIGNS: Final[dict[int, int | str | None]] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},  # full-width to ASCII
    **dict.fromkeys((0x3000, 0xA0), " "),
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), "-"),
    **dict.fromkeys((0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x00AD), None),  # invisible
}
_HAN_DIGITS: Final = str.maketrans("〇零一二三四五六七八九幺", "001234567891")
_HAN_NUMBER: Final = re.compile(r"[〇零一二三四五六七八九幺]{11,19}")
_DIGIT: Final = re.compile(r"[0-9]")


class Sensitivity(msgspec.Struct, frozen=True):
    """level: one of SENSITIVITIES. findings: the kinds of things found, gravest first, without their text."""

    level: str
    findings: tuple[str, ...]


def sensitivity_of(texts: Iterable[str]) -> Sensitivity:
    """The gravest level over all texts, scanned whole up to MAX_SCANNED characters in all."""
    found: dict[str, str] = {}
    left = MAX_SCANNED
    for text in texts:
        found |= {kind.name: kind.level for kind in _found_in(text[:left])}
        if len(text) > left:
            found["not_scanned"] = "personal"
        left = max(left - len(text), 0)
    names = sorted(found, key=lambda name: -rank(found[name]))
    return Sensitivity(found[names[0]] if names else "public", tuple(names))


def rank(level: str) -> int:
    """The place of a level, from 0 for public. Raises ValueError for any other word."""
    return SENSITIVITIES.index(level)


def _found_in(text: str) -> Iterable[Format]:
    written = _normalised(text)
    lower = written.lower()
    has_digit = _DIGIT.search(lower) is not None
    for kind in FORMATS:
        if has_digit if kind.signs is DIGITS else any(map(lower.__contains__, kind.signs)):
            matches = kind.pattern.finditer(written if kind.as_written else lower)
            if any(kind.valid(match.group()) for match in matches):
                yield kind


def _normalised(text: str) -> str:
    """Full-width signs, odd spaces and dashes made plain, invisible signs removed, Chinese numbers spelt in digits."""
    if text.isascii():
        return text
    return _HAN_NUMBER.sub(lambda match: match.group().translate(_HAN_DIGITS), text.translate(_PLAIN_SIGNS))
