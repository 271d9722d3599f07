"""Reads a pattern in the syntax of RE2 and builds its tree. What RE2 refuses is refused here, at the same place."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from policies.language.regex.classes import NEWLINE
from policies.language.regex.cursor import Cursor, escaped
from policies.language.regex.errors import PatternError
from policies.language.regex.ranges import ANYTHING, Ranges, negated
from policies.language.regex.sets import MAX_RANGES, bracketed, class_escape, point_set
from policies.language.regex.tree import At, Node, One, Place, Repeat, either, sequence

MAX_PATTERN: Final = 10_000
"""Characters of a pattern."""
MAX_PROGRAM: Final = 3000
"""Instructions of the program that a pattern becomes; at worst each character of the text meets all of them."""
MAX_REPEAT: Final = 1000
"""The largest number in `{n,m}`."""
MAX_DEPTH: Final = 50
"""Groups within groups."""

_DIGITS: Final = frozenset(string.digits)
_NAME: Final = frozenset(string.ascii_letters + string.digits + "_")
_PLACES: Final = {"A": Place.TEXT_START, "z": Place.TEXT_END, "b": Place.WORD_EDGE, "B": Place.NO_WORD_EDGE}
_COUNTS: Final[dict[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_NOT_NEWLINE: Final = negated(NEWLINE)

_REFUSED_GROUPS: Final = {
    "(?=": "lookahead is refused, it needs more than linear time: write the condition as a second matches()",
    "(?!": "lookahead is refused, it needs more than linear time: write the condition as !matches()",
    "(?<=": "lookbehind is refused, it needs more than linear time: write the condition as a second matches()",
    "(?<!": "lookbehind is refused, it needs more than linear time: write the condition as !matches()",
    "(?>": "an atomic group is refused: write (?:…), no pattern is slow here",
    "(?P=": "a backreference is refused, it needs more than linear time: write out what must repeat",
    "(?P>": "a call of a group is refused: write out what must repeat",
    "(?(": "a conditional group is refused: write the alternatives with |",
    "(?#": "a comment is refused: write it outside of the pattern",
    "(?|": "a branch reset is refused: write (?:…)",
    "(?R": "recursion is refused: write out what must repeat",
    "(?&": "recursion is refused: write out what must repeat",
}


@dataclass(frozen=True, slots=True)
class _Flags:
    """`i`: case does not count; `m`: ^ and $ at every line; `s`: the dot is a newline too; `U` counts for nothing."""

    i: bool = False
    m: bool = False
    s: bool = False
    U: bool = False


def parse(pattern: str) -> Node:
    """The tree of a pattern. Raises PatternError."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"a pattern of {len(pattern)} characters: {MAX_PATTERN} are allowed", MAX_PATTERN)
    return _Parser(pattern).whole()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._cursor = Cursor(pattern)
        self._flags = _Flags()
        self._depth = 0
        self._names: set[str] = set()
        self._sets: dict[Ranges, One] = {}
        self._ranges = 0

    def whole(self) -> Node:
        node = self._alternation()
        if self._cursor.peek():
            self._fail("a ) without its (: remove it, or write \\) for the character itself", self._cursor.at)
        return node

    def _fail(self, message: str, offset: int) -> NoReturn:
        self._cursor.fail(message, offset)

    def _alternation(self) -> Node:
        branches = [self._sequence()]
        while self._cursor.take("|"):
            branches.append(self._sequence())
        return self._bounded(either(branches))

    def _sequence(self) -> Node:
        """All up to the next `|`, `)` or the end."""
        parts: list[Node] = []
        repeated = False
        while (char := self._cursor.peek()) and char not in "|)":
            start = self._cursor.at
            counts = self._counts(char)
            if counts is None:
                parts.extend(self._item())
            elif repeated:
                self._fail_stacked(start)
            elif not parts:
                self._fail(f"{char} with nothing before it to repeat: write \\{char} for the character itself", start)
            else:
                parts[-1] = self._bounded(Repeat(parts[-1], *counts), start)
            repeated = counts is not None
        return sequence(parts)

    def _fail_stacked(self, start: int) -> NoReturn:
        if self._cursor.text[start] == "+":
            self._fail("a possessive repeat is refused: write it without the +, no pattern is slow here", start)
        self._fail("a repeat of a repeat: write (?:…) around the first one", start)

    def _bounded(self, node: Node, start: int | None = None) -> Node:
        """`node`, if its program is not too large; asked before anything is expanded."""
        if node.size > MAX_PROGRAM:
            at = self._cursor.at if start is None else start
            self._fail(f"a program of {node.size} instructions: {MAX_PROGRAM} are allowed, repeat less often", at)
        return node

    def _counts(self, char: str) -> tuple[int, int | None] | None:
        """Take `*`, `+`, `?` or `{n,m}`, with the `?` behind it; None when none comes next."""
        if char in _COUNTS:
            self._cursor.at += 1
            counts = _COUNTS[char]
        else:
            braces = self._braces() if char == "{" else None
            if braces is None:
                return None
            counts = braces
        self._cursor.take("?")
        return counts

    def _braces(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`; in any other form the brace is a character, as in RE2."""
        start = self._cursor.at
        self._cursor.at += 1
        least = most = self._number()
        open_ended = False
        if least is not None and self._cursor.take(","):
            open_ended = self._cursor.sees("}")
            most = self._number()
        if least is None or (most is None and not open_ended) or not self._cursor.take("}"):
            self._cursor.at = start
            return None
        if least > MAX_REPEAT or (most is not None and most > MAX_REPEAT):
            self._fail(f"a repeat of more than {MAX_REPEAT}: write a smaller number", start)
        if most is not None and most < least:
            self._fail(f"{{{least},{most}}} runs backwards: write the smaller number first", start)
        return least, most

    def _number(self) -> int | None:
        """A number without leading zeros; of a long one only that it is too large."""
        digits = self._cursor.taken(_DIGITS, len(self._cursor.text))
        if not digits or (digits[0] == "0" and len(digits) > 1):
            return None
        return int(digits[:9])

    def _item(self) -> list[Node]:
        """What comes next: one node, none after flags, several after `\\Q`."""
        start = self._cursor.at
        char = self._cursor.next()
        match char:
            case "(":
                return self._group(start)
            case "[":
                return [self._one(bracketed(self._cursor, self._flags.i))]
            case ".":
                return [self._one(ANYTHING if self._flags.s else _NOT_NEWLINE)]
            case "^":
                return [At(Place.LINE_START if self._flags.m else Place.TEXT_START)]
            case "$":
                return [At(Place.LINE_END if self._flags.m else Place.TEXT_END)]
            case "\\":
                return self._escape(start)
            case _:
                return [self._literal(ord(char))]

    def _literal(self, point: int) -> Node:
        return self._one(point_set(point, self._flags.i))

    def _one(self, ranges: Ranges) -> Node:
        """One node for each set, so that the memory of a pattern is bounded by its different sets."""
        if ranges not in self._sets:
            self._sets[ranges] = One(ranges)
            self._ranges += len(ranges)
        if self._ranges > MAX_RANGES:
            self._fail("classes of characters too large in all: write fewer of them", self._cursor.at)
        return self._sets[ranges]

    def _escape(self, start: int) -> list[Node]:
        char = self._cursor.peek()
        if char in _PLACES:
            self._cursor.at += 1
            return [At(_PLACES[char])]
        if self._cursor.take("Q"):
            quoted = self._cursor.until("\\E")
            if quoted is None:
                quoted, self._cursor.at = self._cursor.text[self._cursor.at :], len(self._cursor.text)
            return [self._literal(ord(each)) for each in quoted]
        self._cursor.at = start
        known = class_escape(self._cursor, self._flags.i)
        if known is not None:
            return [self._one(known)]
        self._cursor.at = start + 1
        return [self._literal(escaped(self._cursor))]

    def _group(self, start: int) -> list[Node]:
        """`(…)`, `(?:…)`, `(?P<name>…)`, `(?flags:…)`; or `(?flags)`, which is nothing itself."""
        outer = self._flags
        if self._cursor.take("?") and not self._named(start) and self._set_flags(start):
            return []
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"groups nested deeper than {MAX_DEPTH}: write them flatter", start)
        node = self._alternation()
        if not self._cursor.take(")"):
            self._fail("a ( without its ): write the ), or \\( for the character itself", start)
        self._depth -= 1
        self._flags = outer
        return [node]

    def _named(self, start: int) -> bool:
        """Take `P<name>` or `<name>`, if one comes next."""
        text = self._cursor.text
        for length in (4, 3):
            if text[start : start + length] in _REFUSED_GROUPS:
                self._fail(_REFUSED_GROUPS[text[start : start + length]], start)
        if not self._cursor.take("P<") and not self._cursor.take("<"):
            return False
        name = self._cursor.until(">")
        if not name or not _NAME.issuperset(name):
            self._fail("a group with a bad name: write (?P<name>…) with letters, digits and _", start)
        if name in self._names:
            self._fail(f"a second group with the name {name[:40]}: write another name", start)
        self._names.add(name)
        return True

    def _set_flags(self, start: int) -> bool:
        """Take flags up to `)` (true: they hold for the rest of the group around) or `:` (false: for this group)."""
        on, seen = True, False
        while (char := self._cursor.next()) not in (")", ":") or (not on and not seen):
            if char == "-" and on:
                on, seen = False, False
            elif char and char in "imsU":
                seen = True
                self._flags = replace(self._flags, **{char: on})
            else:
                self._fail(
                    f"(?{char or ' at the end'} begins no group: write (?:…), (?P<name>…) or flags out of imsU", start
                )
        return char == ")"
