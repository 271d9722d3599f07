"""Functions of strings. Offsets count code points. `matches` is in regex.py, `format` in format.py."""

from __future__ import annotations

from functools import partial
from typing import Final

from policies.language.functions import Overload, first
from policies.language.library.bounds import (
    copying,
    holding_texts,
    joined,
    reading,
    replaced,
    replacing,
    searching,
    times,
)
from policies.language.types import BOOL, INT, STRING, List
from policies.language.values import EvaluationError, Value, kind_of

_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {code + 32: code for code in _LOWER}
_WHITE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space; Python's own strip() takes four control characters more."""
_ESCAPES: Final[dict[int, str]] = dict.fromkeys(range(0xD800, 0xE000), "\ufffd") | {
    ord(sign): f"\\{letter}" for sign, letter in zip('\a\b\f\n\r\t\v\\"', 'abfnrtv\\"', strict=True)
}


def lower_ascii(text: str) -> str:
    """Latin capitals A–Z made small; all other characters stay."""
    return text.translate(_LOWER)


def upper_ascii(text: str) -> str:
    """Latin letters a–z made capitals; all other characters stay."""
    return text.translate(_UPPER)


def char_at(text: str, index: int) -> str:
    """The character at `index`, nothing at the very end. Raises EvaluationError outside of the text."""
    start = _offset(index, text)
    return text[start : start + 1]


def _offset(index: int, text: str) -> int:
    if 0 <= index <= len(text):
        return index
    raise EvaluationError(f"index out of range: {index}, in a text of {len(text)}")


def index_of(text: str, part: str, start: int = 0) -> int:
    """Where `part` is first found from `start` on, or -1. Raises EvaluationError for a start outside of the text."""
    return text.find(part, _offset(start, text))


def last_index_of(text: str, part: str) -> int:
    """Where `part` is last found, or -1. Searched backwards: Python's rfind is quadratic, its find is not."""
    found = text[::-1].find(part[::-1])
    return -1 if found < 0 else len(text) - found - len(part)


def last_index_from(text: str, part: str, start: int) -> int:
    """As `last_index_of`, for finds that begin at `start` or before. Raises EvaluationError."""
    return last_index_of(text[: _offset(start, text) + len(part)], part)


def replace(text: str, old: str, new: str, limit: int = -1) -> str:
    """`old` replaced by `new`, all of them for a limit below 0."""
    return text.replace(old, new, limit)


def split(text: str, separator: str, limit: int = -1) -> list[str]:
    """The parts between separators, at most `limit` of them when it is 0 or more; each character for an empty one."""
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit > len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


def substring(text: str, start: int) -> str:
    """What is left from `start` on. Raises EvaluationError outside of the text."""
    return text[_offset(start, text) :]


def substring_between(text: str, start: int, end: int) -> str:
    """From `start` up to `end`, which is left out. Raises EvaluationError outside of the text or in the wrong order."""
    if start > end:
        raise EvaluationError(f"invalid substring range: start {start} is after end {end}")
    return text[_offset(start, text) : _offset(end, text)]


def trim(text: str) -> str:
    """Without white space at both ends."""
    return text.strip(_WHITE)


def join(items: list[Value], separator: str = "") -> str:
    """All texts of a list, with a separator between them. Raises EvaluationError for elements that are none."""
    odd = next((kind_of(item) for item in items if kind_of(item) != "string"), None)
    if odd is not None:
        raise EvaluationError(f"join takes a list of strings; this one holds {odd}")
    return separator.join(items)


def quote(text: str) -> str:
    """As a literal of the language in double quotes; what is no Unicode becomes U+FFFD."""
    return f'"{text.translate(_ESCAPES)}"'


_TEXTS: Final = List(STRING)
_method: Final = partial(Overload, method=True)
_cut: Final = partial(_method, fallible=True, size=first, work=reading)

OVERLOADS: Final = (
    _method("contains_text", "contains", (STRING, STRING), BOOL, str.__contains__, work=searching),
    _method("starts_with", "startsWith", (STRING, STRING), BOOL, str.startswith, work=reading),
    _method("ends_with", "endsWith", (STRING, STRING), BOOL, str.endswith, work=reading),
    _method("char_at", "charAt", (STRING, INT), STRING, char_at, fallible=True),
    _method("index_of", "indexOf", (STRING, STRING), INT, index_of, work=searching),
    _method("index_of_from", "indexOf", (STRING, STRING, INT), INT, index_of, fallible=True, work=searching),
    _method("last_index_of", "lastIndexOf", (STRING, STRING), INT, last_index_of, work=searching),
    _method(
        "last_index_of_from", "lastIndexOf", (STRING, STRING, INT), INT, last_index_from, fallible=True, work=searching
    ),
    _method("lower", "lower", (STRING,), STRING, lower_ascii, size=first, work=reading),
    _method("lower_ascii", "lowerAscii", (STRING,), STRING, lower_ascii, size=first, work=reading),
    _method("upper_ascii", "upperAscii", (STRING,), STRING, upper_ascii, size=first, work=reading),
    _method("replace", "replace", (STRING, STRING, STRING), STRING, replace, size=replaced, work=replacing),
    _method("replace_some", "replace", (STRING, STRING, STRING, INT), STRING, replace, size=replaced, work=replacing),
    _method("split", "split", (STRING, STRING), _TEXTS, split, size=times(1, 1), work=copying),
    _method("split_some", "split", (STRING, STRING, INT), _TEXTS, split, size=times(1, 1), work=copying),
    _cut("substring", "substring", (STRING, INT), STRING, substring),
    _cut("substring_between", "substring", (STRING, INT, INT), STRING, substring_between),
    _method("trim", "trim", (STRING,), STRING, trim, size=first, work=reading),
    _method("join", "join", (_TEXTS,), STRING, join, fallible=True, size=joined, work=holding_texts),
    _method("join_with", "join", (_TEXTS, STRING), STRING, join, fallible=True, size=joined, work=holding_texts),
    _method("reverse", "reverse", (STRING,), STRING, lambda text: text[::-1], size=first, work=reading),
    Overload("quote", "strings.quote", (STRING,), STRING, quote, size=times(2, 2), work=reading),
)
