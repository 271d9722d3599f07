"""Expression text to tokens. Never fails: what is no token becomes a Fault, and reading goes on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policies.syntax import Span
from policies.types import INT_MAX


class Kind(StrEnum):
    """The kind of a token."""

    IDENT = "name"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    SIGN = "sign"
    END = "end of expression"


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `text` is as written; `value` is the literal's value for INT, DOUBLE and STRING."""

    kind: Kind
    text: str
    span: Span
    value: int | float | str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem inside one expression, not yet placed in the document."""

    code: str
    message: str
    span: Span
    expected: str = ""
    suggestion: str = ""


_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n\f]+|//[^\n]*)
      |(?P<double>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
      |(?P<hex>0[xX][0-9a-fA-F]+)
      |(?P<int>[0-9]+)
      |(?P<string>[rR]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
      |(?P<ident>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])""",
    re.VERBOSE,
)

#: Signs of other languages, and what this one writes instead.
_FOREIGN: Final = {
    "=": "==",
    "&": "&&",
    "|": "||",
    "~": "!",
    ";": "",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "，": ",",
    "（": "(",
    "）": ")",
    "：": ":",
}

_ESCAPES: Final = dict(zip("ntrabfv", "\n\t\r\a\b\f\v", strict=True)) | {sign: sign for sign in "\\\"'`?"}
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)


def tokenize(text: str) -> tuple[list[Token], list[Fault]]:
    """All tokens of `text`, an END token last, and what was wrong. Linear in the length of `text`."""
    tokens: list[Token] = []
    faults: list[Fault] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            at = _skip_unknown(text, at, tokens, faults)
            continue
        at = match.end()
        if match.lastgroup != "space":
            tokens.append(_token(match, faults))
    tokens.append(Token(Kind.END, "", Span(len(text), len(text))))
    return tokens, faults


def _skip_unknown(text: str, at: int, tokens: list[Token], faults: list[Fault]) -> int:
    """Tell what stands at `at`, read on as if its right form stood there, and return where to go on."""
    sign, span = text[at], Span(at, at + 1)
    if sign in "\"'":
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        faults.append(Fault("unclosed-string", "this string has no closing quote", span, suggestion=f"add {sign}"))
        tokens.append(Token(Kind.STRING, text[at:end], Span(at, end), text[at + 1 : end]))
        return end
    right = _FOREIGN.get(sign, "")
    remedy = f"write {right} instead" if right else "remove it"
    faults.append(Fault("unknown-sign", f"{sign!r} is no part of the language", span, suggestion=remedy))
    if right and right not in "\"'":
        tokens.append(Token(Kind.SIGN, right, span))
    return at + 1


def _token(match: re.Match[str], faults: list[Fault]) -> Token:
    text, span = match.group(), Span(match.start(), match.end())
    match match.lastgroup:
        case "double":
            return Token(Kind.DOUBLE, text, span, _double(text, span, faults))
        case "int" | "hex":
            return Token(Kind.INT, text, span, _integer(text, span, faults))
        case "string":
            return Token(Kind.STRING, text, span, _string(text, span, faults))
        case "ident":
            return Token(Kind.IDENT, text, span)
        case _:
            return Token(Kind.SIGN, text, span)


def _double(text: str, span: Span, faults: list[Fault]) -> float:
    value = float(text)
    if value == float("inf"):
        faults.append(Fault("number-too-large", "this number is beyond a double", span))
        return 0.0
    return value


def _integer(text: str, span: Span, faults: list[Fault]) -> int:
    # 2**63 itself is let through: `-9223372036854775808` is a legal int; the parser judges the sign.
    value = int(text, 0 if text[:2] in ("0x", "0X") else 10) if len(text) <= 24 else INT_MAX + 2
    if value > INT_MAX + 1:
        faults.append(Fault("number-too-large", "this number is beyond 64 bits", span))
        return 0
    return value


def _string(text: str, span: Span, faults: list[Fault]) -> str:
    if text[0] in "rR":
        return text[2:-1]
    return _ESCAPE.sub(lambda m: _unescape(m, span.start + 1, faults), text[1:-1])


def _unescape(match: re.Match[str], offset: int, faults: list[Fault]) -> str:
    two, four, eight, octal, sign = match.groups()
    if sign is not None and sign in _ESCAPES:
        return _ESCAPES[sign]
    code = int(octal, 8) if octal else int(two or four or eight or "-1", 16)
    if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
        return chr(code)
    span = Span(offset + match.start(), offset + match.end())
    faults.append(Fault("unknown-escape", f"{match.group()!r} is no character", span, expected=r"\n \t \" \\ \u4f60"))
    return ""
