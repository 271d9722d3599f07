"""Expression text to tokens. Never fails: what is no token becomes a Fault, and reading goes on as if its right form
stood there. The values of literals are in literals.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policies.language.literals import meant_number, read_number, read_string
from policies.language.syntax import Fault, Span


class Kind(StrEnum):
    """The kind of a token. QUOTED is a field in backquotes; FAULTY stands where a problem has been told already."""

    IDENT = "name"
    QUOTED = "quoted field"
    INT = "int"
    UINT = "uint"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    SIGN = "sign"
    FAULTY = "fault"
    END = "end of expression"


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `text` is as written, a foreign sign corrected; `value` is a literal's value or a quoted field's name.

    An INT may be 2**63, which is legal after a minus only; the parser judges that.
    """

    kind: Kind
    text: str
    span: Span
    value: int | float | str | bytes = ""


#: A raw string and one with escapes, in double quotes of either length (CEL: STRING_LIT).
_RAW: Final = r'''"{3}(?:[^"]|"(?!""))*"{3}|"(?!"")[^"\r\n]*"'''
_ESCAPED: Final = r'''"{3}(?:[^"\\]|\\(?s:.)|"(?!""))*"{3}|"(?!"")(?:[^"\\\r\n]|\\[^\r\n])*"'''


def _single(double: str) -> str:
    """A pattern for single quotes from the one for double quotes."""
    return double.replace('"', "'")


_TOKEN: Final = re.compile(
    rf"""(?P<space>[ \t\r\n\f]+|//[^\n]*)
      |(?P<double>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
      |(?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
      |(?P<int>0x[0-9a-fA-F]+|[0-9]+)
      |(?P<raw>[bB]?[rR](?:{_RAW}|{_single(_RAW)}))
      |(?P<string>[bB]?(?:{_ESCAPED}|{_single(_ESCAPED)}))
      |(?P<unclosed>[bB]?[rR]?(?:\"{{3}}|'{{3}}|["']))
      |(?P<typographic>[“”„«＂‘’＇][^“”„«»＂‘’＇"'\r\n]*[“”»＂‘’＇"'])
      |(?P<quoted>`[^`\r\n]*`)
      |(?P<ident>[^\W\d]\w*)
      |(?P<foreign>===|!==|<>|=<|=>)
      |(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{{}}])""",
    re.VERBOSE,
)
_SIGN: Final = re.compile(r"&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{} ]")
_GLUED: Final = re.compile(r"(?!in\b)\w+")
_FIELD: Final = re.compile(r"`[A-Za-z0-9_./ -]+`")
_NEWLINE: Final = re.compile(r"[\r\n]")

#: Signs of other languages, and what this one writes instead.
_FOREIGN: Final = {
    "===": "==",
    "!==": "!=",
    "<>": "!=",
    "=<": "<=",
    "=>": ">=",
    "=": "==",
    "&": "&&",
    "|": "||",
    "~": "!",
    "≠": "!=",
    "≤": "<=",
    "≥": ">=",
    "∧": "&&",
    "∨": "||",
    "¬": "!",
    "−": "-",
    "×": "*",
    "÷": "/",
    "\xa0": " ",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}
#: Fullwidth signs to the signs that they look like.
_FOLD: Final = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x3002: ".", 0x3001: ","}


def tokenize(text: str) -> tuple[list[Token], list[Fault]]:
    """All tokens of `text`, an END token last, and what was wrong. Linear in the length of `text`."""
    lexer = _Lexer(text)
    at = 0
    while at < len(text):
        at = lexer.step(at)
    lexer.tokens.append(Token(Kind.END, "", Span(len(text), len(text))))
    return lexer.tokens, lexer.faults


class _Lexer:
    """What has been read so far of one text. Every method that reads returns where to go on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.tokens: list[Token] = []
        self.faults: list[Fault] = []

    def step(self, at: int) -> int:
        match = _TOKEN.match(self._text, at)
        if match is None:
            return self._foreign(at, self._text[at])
        text, end, span = match.group(), match.end(), Span(at, match.end())
        match match.lastgroup:
            case "space":
                return end
            case "int" | "uint" | "double":
                return self._number(text, span, Kind(match.lastgroup))
            case "raw" | "string":
                value, faults = read_string(text, span.start)
                self._add(Kind.BYTES if isinstance(value, bytes) else Kind.STRING, text, span, value)
                self.faults += faults
            case "unclosed":
                return self._unclosed(text, at)
            case "typographic":
                self._tell("unknown-sign", f"{text[0]!r} is no quote of the language", span, fix='write " instead')
                self._add(Kind.STRING, text, span, text[1:-1])
            case "quoted":
                self._field(text, span)
            case "ident":
                self._ident(text, span)
            case "foreign":
                return self._foreign(at, text)
            case _:
                self._add(Kind.SIGN, text, span)
        return end

    def _add(self, kind: Kind, text: str, span: Span, value: int | float | str | bytes = "") -> None:
        self.tokens.append(Token(kind, text, span, value))

    def _tell(self, code: str, message: str, span: Span, *, expected: str = "", fix: str = "") -> None:
        self.faults.append(Fault(code, message, span, expected, fix))

    # ── names and signs ─────────────────────────────────────────────────────────────────────────────────────────

    def _ident(self, text: str, span: Span) -> None:
        if text.isascii():
            self._add(Kind.IDENT, text, span)
            return
        self._tell("unknown-sign", f"{text!r} is no name", span, expected="letters A to Z, a to z, digits and _")
        self._add(Kind.FAULTY, text, span)

    def _field(self, text: str, span: Span) -> None:
        if _FIELD.fullmatch(text):
            self._add(Kind.QUOTED, text, span, text[1:-1])
            return
        expected = "letters A to Z, digits, spaces and _ . - / in backquotes"
        self._tell("unknown-sign", f"{text!r} is no field", span, expected=expected, fix='write ["…"] instead')
        self._add(Kind.FAULTY, text, span)

    def _foreign(self, at: int, sign: str) -> int:
        """Tell a sign of another language or alphabet, and read it as the one that was meant."""
        right, end = _FOREIGN.get(sign, ""), at + len(sign)
        if not right:
            right, length = _folded(self._text[at : at + 2])
            end = at + length
        sign, span = self._text[at:end], Span(at, end)
        shown = "a space" if right == " " else right
        self._tell("unknown-sign", f"{sign!r} is no part of the language", span, fix=_remedy(shown))
        if right and right not in "\"' " and not self._doubles(right, at):
            self._add(Kind.SIGN, right, span)
        return end

    def _doubles(self, sign: str, at: int) -> bool:
        """Whether the same sign stands right before `at`: the third & of `&&&` is one too many."""
        return bool(self.tokens) and self.tokens[-1].text == sign and self.tokens[-1].span.end == at

    # ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _number(self, text: str, span: Span, kind: Kind) -> int:
        glued = _GLUED.match(self._text, span.end)
        if glued:
            span = Span(span.start, glued.end())
            fix = meant_number(text, glued.group())
            self._tell("bad-number", f"{text + glued.group()!r} is no number", span, fix=fix)
            self._add(Kind.FAULTY, text + glued.group(), span)
            return span.end
        value = read_number(text)
        if value is None:
            self._tell("number-too-large", f"this number is beyond {_ROOM[kind]}", span)
            kind, value = Kind.FAULTY, 0
        self._add(kind, text, span, value)
        return span.end

    # ── strings ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _unclosed(self, opening: str, at: int) -> int:
        quote = opening.lstrip("bBrR")
        newline = None if len(quote) == 3 else _NEWLINE.search(self._text, at)
        end = newline.start() if newline else len(self._text)
        self._tell("unclosed-string", "this string has no closing quote", Span(at, end), fix=f"add {quote}")
        kind = Kind.BYTES if opening[0] in "bB" else Kind.STRING
        self._add(kind, self._text[at:end], Span(at, end), b"" if kind is Kind.BYTES else "")
        return end


_ROOM: Final = {Kind.DOUBLE: "a double", Kind.INT: "64 bits", Kind.UINT: "64 bits"}


def _remedy(sign: str) -> str:
    return f"write {sign} instead" if sign else "remove it"


def _folded(window: str) -> tuple[str, int]:
    """The sign that the one or two characters of `window` look like, and how many of them it takes."""
    plain = window.translate(_FOLD)
    match = _SIGN.match(plain)
    if match and plain[0] != window[0]:
        return match.group(), match.end()
    return _FOREIGN.get(plain[0], ""), 1
