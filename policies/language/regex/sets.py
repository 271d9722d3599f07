"""Reads what stands for one character out of a set: classes in brackets, \\d, \\pN, [[:alpha:]], the dot."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from policies.language.regex.classes import PERL, POSIX, unicode_class, unicode_names
from policies.language.regex.cursor import Cursor, escaped
from policies.language.regex.ranges import Ranges, folded, negated, union

MAX_RANGES: Final = 10_000
"""Ranges in the sets of one pattern: bounds its memory, and the time to read it."""


def point_set(point: int, fold: bool) -> Ranges:
    """The set of one character, with its other cases when `fold`."""
    alone = ((point, point),)
    return folded(alone) if fold else alone


def class_escape(cursor: Cursor, fold: bool) -> Ranges | None:
    """The set of `\\d`, `\\W`, `\\pL`, `\\P{Greek}`, if one comes next; else None. Raises PatternError."""
    name = cursor.text[cursor.at : cursor.at + 2]
    if name[:1] != "\\" or len(name) != len("\\d"):
        return None
    letter = name[1]
    if letter.lower() in PERL and letter.isascii():
        cursor.at += 2
        return _either_way(PERL[letter.lower()], fold, negative=letter.isupper())
    return _property(cursor, fold) if letter in "pP" else None


def _property(cursor: Cursor, fold: bool) -> Ranges:
    start = cursor.at
    negative = cursor.text[start + 1] == "P"
    cursor.at += 2
    char = cursor.next()
    name = cursor.until("}") if char == "{" else char
    if not name:
        cursor.fail(r"\p without a name: write \pL or \p{Greek}", start)
    if name.startswith("^"):
        negative, name = not negative, name[1:]
    known = unicode_class(name)
    if known is None:
        cursor.fail(f"\\p{{{name[:40]}}} is no class of characters: {_near(name)}", start)
    return _either_way(known, fold, negative)


def _near(name: str) -> str:
    close = get_close_matches(name[:40], unicode_names(), 1)
    return f"did you mean {close[0]}?" if close else "write a category such as L or Nd, or a script such as Greek"


def _either_way(ranges: Ranges, fold: bool, negative: bool) -> Ranges:
    """The other cases are added before the set is turned around: what is not `k` is not `K` either."""
    whole = folded(ranges) if fold else ranges
    return negated(whole) if negative else whole


def bracketed(cursor: Cursor, fold: bool) -> Ranges:
    """The set of `[…]`; the cursor is behind the first bracket. Raises PatternError."""
    start = cursor.at - 1
    negative = cursor.take("^")
    found: list[tuple[int, int]] = []
    first = True
    while first or not cursor.take("]"):
        first = False
        if not cursor.peek():
            cursor.fail("a [ without its ]: write the ], or \\[ for the character itself", start)
        known = _posix(cursor, fold) or class_escape(cursor, fold)
        found.extend(known if known is not None else (_range(cursor),))
        if len(found) > MAX_RANGES:
            cursor.fail("a class of characters too large: write fewer sets in it", start)
    return _either_way(union(found), fold, negative)


def _posix(cursor: Cursor, fold: bool) -> Ranges | None:
    """The set of `[:alpha:]`, if one comes next. A `[:` that never closes is two characters."""
    start = cursor.at
    name = cursor.until(":]") if cursor.take("[:") else None
    if name is None:
        cursor.at = start
        return None
    negative = name.startswith("^")
    known = POSIX.get(name[negative:])
    if known is None:
        close = get_close_matches(name[negative:][:40], POSIX, 1) or ["alpha"]
        cursor.fail(f"[:{name[:40]}:] is no class of characters: write for example [:{close[0]}:]", start)
    return _either_way(known, fold, negative)


def _range(cursor: Cursor) -> tuple[int, int]:
    """One character, or `a-z`. A minus before the closing bracket is a character."""
    start = cursor.at
    low = _point(cursor)
    if not cursor.sees("-") or cursor.sees("-]") or cursor.at + 1 >= len(cursor.text):
        return low, low
    cursor.at += 1
    high = _point(cursor)
    if high < low:
        text = cursor.text[start : cursor.at]
        cursor.fail(f"the range {text} runs backwards: write the lower character first", start)
    return low, high


def _point(cursor: Cursor) -> int:
    char = cursor.next()
    return escaped(cursor) if char == "\\" else ord(char)
