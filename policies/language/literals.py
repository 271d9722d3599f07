"""What number, string and bytes literals are worth, and what was meant by those that are none. Where they end is the
lexer's matter.
"""

from __future__ import annotations

import re
from typing import Final

from policies.language.syntax import Fault, Span
from policies.language.types import INT_MAX, UINT_MAX
from policies.language.values import Uint

#: Units that people write behind a number, as `duration` takes them.
_UNITS: Final = frozenset({"ns", "us", "ms", "s", "m", "h"})
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPES: Final = dict(zip("ntrabfv", "\n\t\r\a\b\f\v", strict=True)) | {sign: sign for sign in "\\\"'`?"}
_ESCAPE: Final = re.compile(
    r"\\(?:[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)


def read_number(text: str) -> int | float | None:
    """The value of `7`, `0x1F`, `7u` or `1.5e3`; None when it is too large for its kind.

    An int may be 2**63, which is legal after a minus only; the parser judges that.
    """
    digits = text.lower()
    if digits.endswith("u"):
        whole = _whole(digits[:-1], UINT_MAX)
        return None if whole is None else Uint(whole)
    if digits.startswith("0x") or digits.isdecimal():
        return _whole(digits, INT_MAX + 1)
    value = float(text)
    return value if value != float("inf") else None


def _whole(digits: str, most: int) -> int | None:
    """A whole number up to `most`. One of more digits than 64 bits need is not converted, so that time is linear."""
    base = 16 if digits.startswith("0x") else 10
    digits = digits.removeprefix("0x").lstrip("0") or "0"
    value = int(digits, base) if len(digits) <= 20 else most + 1
    return value if value <= most else None


def meant_number(number: str, glued: str) -> str:
    """What a number with letters behind it was meant to be, as a suggestion; empty when nobody knows."""
    whole = number + glued
    if glued in _UNITS:
        return f'write duration("{whole}")'
    if re.fullmatch(r"[0-9]+(?:_[0-9]+)+", whole):
        return f"write {whole.replace('_', '')}"
    return f"write {whole.lower()}" if re.fullmatch("0X[0-9a-fA-F]+[uU]?", whole) else ""


def read_string(text: str, start: int) -> tuple[str | bytes, list[Fault]]:
    """The value of a whole string or bytes literal that starts at `start`, and what is wrong in it."""
    quotes = text.lstrip("bBrR")
    prefix = text[: -len(quotes)].lower()
    width = 3 if len(quotes) >= 6 and quotes[:3] == quotes[0] * 3 else 1
    reader = _Reader(start + len(prefix) + width, octets="b" in prefix)
    return reader.read(quotes[width:-width], raw="r" in prefix), reader.faults


class _Reader:
    """Reads what stands between the quotes; `offset` is where that starts in the expression."""

    def __init__(self, offset: int, *, octets: bool) -> None:
        self._offset = offset
        self._octets = octets
        self.faults: list[Fault] = []

    def read(self, body: str, *, raw: bool) -> str | bytes:
        body = _SURROGATE.sub(self._surrogate, body)
        if not raw:
            body = _ESCAPE.sub(self._unescape, body)
        return body.encode("utf-8", "surrogateescape") if self._octets else body

    def _span(self, match: re.Match[str]) -> Span:
        return Span(self._offset + match.start(), self._offset + match.end())

    def _surrogate(self, match: re.Match[str]) -> str:
        """Half a character; texts that came through JSON may hold them. What replaces it is as long."""
        message = f"{match.group()!r} is no character"
        self.faults.append(Fault("unknown-sign", message, self._span(match), suggestion="remove it"))
        return "\ufffd"

    def _unescape(self, match: re.Match[str]) -> str:
        two, octal, four, eight, sign = match.groups()
        if sign in _ESCAPES:
            return _ESCAPES[sign]
        code = int(octal, 8) if octal else int(two or four or eight or "-1", 16)
        if self._octets and (two or octal):
            # A byte from 0x80 on travels as the surrogate that the encoder turns back into that byte.
            return chr(code) if code < 0x80 else chr(0xDC00 + code)
        if not self._octets and 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            return chr(code)
        self.faults.append(self._no_escape(match, sign))
        return ""

    def _no_escape(self, match: re.Match[str], sign: str | None) -> Fault:
        message = f"{match.group()!r} is no {'byte' if self._octets else 'character'}"
        expected = r"\n \t \" \\ \xff" if self._octets else r"\n \t \" \\ \u4f60"
        fix = f"write \\{match.group()}, or put r before the string" if sign and sign.isprintable() else ""
        return Fault("unknown-escape", message, self._span(match), expected, fix)
