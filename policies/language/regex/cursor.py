"""A place in the text of a pattern, and the escapes that stand for one character wherever they are written."""

from __future__ import annotations

import string
from typing import Final, NoReturn

from policies.language.regex.errors import PatternError
from policies.language.regex.ranges import LAST

_CONTROLS: Final = {"a": 0x07, "f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B}
_HEX: Final = frozenset(string.hexdigits)
_OCTAL: Final = frozenset(string.octdigits)
_LETTERS_DIGITS: Final = frozenset(string.ascii_letters + string.digits)

_REFUSED_ESCAPES: Final = {
    "Z": r"write \z for the end of the text",
    "G": "there is no previous match to go on from",
    "C": "patterns read characters, never bytes; write (?s:.)",
    "X": r"write the characters, such as \pL\pM*",
    "R": r"write (?:\r\n|[\n\r])",
    "h": r"write [ \t]",
    "K": "leave it out, only the answer yes or no is given",
    "e": r"write \x1b",
    "E": r"it ends \Q, which is not open here",
    "k": "there are no backreferences; write out what must repeat",
    "g": "there are no backreferences; write out what must repeat",
    "u": r"write \x{…} with the hexadecimal number of the character",
    "U": r"write \x{…} with the hexadecimal number of the character",
    "N": r"write \x{…} with the hexadecimal number of the character",
}


class Cursor:
    """`at`: the offset, in characters, of the next character of `text`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """The next character, or "" at the end."""
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        """Take the next character; "" at the end."""
        char = self.text[self.at : self.at + 1]
        self.at += len(char)
        return char

    def sees(self, word: str) -> bool:
        """Whether `word` comes next."""
        return self.text.startswith(word, self.at)

    def take(self, word: str) -> bool:
        """Take `word` if it comes next."""
        found = self.sees(word)
        if found:
            self.at += len(word)
        return found

    def until(self, word: str) -> str | None:
        """Take all up to `word`, and `word`; None, with nothing taken, when it does not come."""
        end = self.text.find(word, self.at)
        if end < 0:
            return None
        start, self.at = self.at, end + len(word)
        return self.text[start:end]

    def taken(self, allowed: frozenset[str], most: int) -> str:
        """Take the next characters that are allowed, `most` at the most."""
        start = self.at
        while self.at - start < most and self.peek() in allowed:
            self.at += 1
        return self.text[start : self.at]

    def fail(self, message: str, offset: int) -> NoReturn:
        """Raise the PatternError."""
        raise PatternError(message, offset)


def escaped(cursor: Cursor) -> int:
    """The code point of an escape; the cursor is behind the backslash. Raises PatternError."""
    start = cursor.at - 1
    char = cursor.next()
    if char in _CONTROLS:
        return _CONTROLS[char]
    if char == "x":
        return _hexadecimal(cursor, start)
    if char and char in "01234567":
        return _octal(cursor, char, start)
    if char and char.isascii() and char not in _LETTERS_DIGITS:
        return ord(char)
    return _refuse(cursor, char, start)


def _hexadecimal(cursor: Cursor, start: int) -> int:
    if not cursor.take("{"):
        digits, whole = cursor.taken(_HEX, 2), 2
        if len(digits) != whole:
            cursor.fail(r"\x without two hexadecimal digits: write \x41 or \x{41}", start)
        return int(digits, 16)
    digits = cursor.taken(_HEX, len(cursor.text))
    if not digits or not cursor.take("}"):
        cursor.fail(r"\x{ without hexadecimal digits and a }: write \x{41}", start)
    point = int(digits[-7:], 16) if not digits[:-7].strip("0") else LAST + 1
    if point > LAST:
        cursor.fail(r"a number beyond all characters: the last one is \x{10FFFF}", start)
    return point


def _octal(cursor: Cursor, first: str, start: int) -> int:
    """A number of up to three octal digits; one digit alone, other than 0, would be a backreference."""
    more = cursor.taken(_OCTAL, 2)
    if first != "0" and not more:
        cursor.fail(
            f"\\{first} is a backreference, which needs more than linear time: write out what must repeat", start
        )
    return int(first + more, 8)


def _refuse(cursor: Cursor, char: str, start: int) -> NoReturn:
    if not char:
        cursor.fail("a backslash at the end: write \\\\ for a backslash", start)
    if char in "89":
        cursor.fail(
            f"\\{char} is a backreference, which needs more than linear time: write out what must repeat", start
        )
    hint = _REFUSED_ESCAPES.get(char, f"write {char} for the character itself")
    cursor.fail(f"\\{char} is no escape: {hint}", start)
