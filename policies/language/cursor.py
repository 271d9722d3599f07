"""Where the parser is among the tokens: taking them, telling of unexpected ones and going on behind them, and the
bound on depth. No rule of the grammar lives here.
"""

from __future__ import annotations

from typing import Final

from policies.language.lexer import Kind, Token
from policies.language.syntax import Fault, Span

_CHOICE: Final = "write condition ? a : b"
HINTS: Final = {"if": _CHOICE, "then": _CHOICE, "else": _CHOICE, "is": "write == instead"}
"""What to write in place of a word of another language."""

CLOSERS: Final = frozenset({")", "]", "}", ","})
"""Where reading goes on after something wrong within brackets."""
_RESUME: Final = CLOSERS | {"&&", "||", ":"}


class TooDeepError(Exception):
    """The expression passes the bound on depth at the present token."""


class Cursor:
    """A place among tokens, which end with END, and the faults told so far. `limit` bounds the levels open there."""

    def __init__(self, tokens: list[Token], faults: list[Fault], limit: int) -> None:
        self._tokens = tokens
        self._faults = faults
        self._limit = limit
        self._at = 0
        self._told = -1
        self._depth = 0

    @property
    def now(self) -> Token:
        """The token that is to be read."""
        return self._tokens[self._at]

    @property
    def ahead(self) -> Token:
        """The token behind it; END is followed by itself."""
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Go on by one token; the one that was read."""
        token = self.now
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    @property
    def ended(self) -> bool:
        """Whether all tokens were taken."""
        return self.now.kind is Kind.END

    @property
    def before(self) -> Token:
        """The token that was taken last."""
        return self._tokens[max(self._at - 1, 0)]

    def at_sign(self, *signs: str) -> bool:
        """Whether one of `signs` stands here."""
        return self.now.kind is Kind.SIGN and self.now.text in signs

    def take_sign(self, sign: str) -> bool:
        """Take `sign` if it stands here; whether it did."""
        if found := self.at_sign(sign):
            self.take()
        return found

    def expect(self, sign: str, opened: Span | None = None) -> None:
        """Take `sign`, or tell that it is missing and go on behind it if it follows in this bracket.

        opened: the bracket that `sign` closes. Where the text ends first, that is what is told.
        """
        if not self.take_sign(sign):
            if opened is not None and self.ended and self._at != self._told and not self._is_cut_off():
                self.tell("syntax", "this bracket is not closed", opened, expected=sign)
                self._told = self._at
            self.unexpected(sign, CLOSERS | {sign})
            self.take_sign(sign)

    def _is_cut_off(self) -> bool:
        """Whether a string without an end took the rest of the text."""
        return any(fault.code == "unclosed-string" for fault in self._faults)

    def tell(self, code: str, message: str, span: Span, *, expected: str = "", suggestion: str = "") -> None:
        """Note a problem."""
        self._faults.append(Fault(code, message, span, expected, suggestion))

    def unexpected(self, expected: str, resume: frozenset[str] = _RESUME) -> None:
        """Tell that the present token is wrong, once for each token, and skip to where reading can resume."""
        token = self.now
        if self._at != self._told and token.kind is not Kind.FAULTY:
            found = repr(token.text) if token.text else "the end"
            hint = HINTS.get(token.text, "") if token.kind is Kind.IDENT else ""
            self.tell("syntax", f"{found} is not expected here", token.span, expected=expected, suggestion=hint)
        self._skip(resume)
        self._told = self._at

    def _skip(self, resume: frozenset[str]) -> None:
        """Go on at the next of the signs `resume` that stands in no bracket opened on the way."""
        opened = 0
        while self.now.kind is not Kind.END:
            if opened == 0 and self.at_sign(*resume):
                return
            if self.at_sign("(", "[", "{"):
                opened += 1
            elif self.at_sign(")", "]", "}"):
                opened -= 1
            self.take()

    def enter(self) -> None:
        """Open a level. Raises TooDeepError."""
        self._depth += 1
        if self._depth > self._limit:
            raise TooDeepError

    def leave(self) -> None:
        """Close the level."""
        self._depth -= 1

    def since(self, start: int) -> Span:
        """From the character `start` to the end of the last token taken."""
        return Span(start, self.before.span.end)
