"""Tokens to a syntax tree, by precedence climbing. Goes on after an error, so that one save tells several at once."""

from __future__ import annotations

from typing import Final

from policies import syntax
from policies.lexer import Fault, Kind, Token, tokenize
from policies.syntax import Node, Span
from policies.types import INT_MAX

MAX_CHARACTERS: Final = 4096
MAX_DEPTH: Final = 48
MAX_FAULTS: Final = 20

_RELATIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_SUMS: Final = frozenset({"+", "-"})
_PRODUCTS: Final = frozenset({"*", "/", "%"})
_LADDER: Final = (_RELATIONS, _SUMS, _PRODUCTS)  # from loose to tight; && and || stand above, unary below
_WORDS: Final = {"and": "&&", "or": "||", "not": "!"}
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_CAPITALS: Final = {"True": "true", "False": "false", "None": "null", "TRUE": "true", "FALSE": "false"}


def parse(text: str) -> tuple[Node, list[Fault]]:
    """The tree of `text` and what is wrong with it. Never raises; a tree with faults holds `Faulty` nodes."""
    whole = Span(0, len(text))
    if len(text) > MAX_CHARACTERS:
        message = f"this expression has {len(text)} characters"
        return syntax.Faulty(whole), [Fault("too-long", message, whole, expected=f"at most {MAX_CHARACTERS}")]
    if not text.strip():
        return syntax.Faulty(whole), [Fault("empty-expression", "there is no expression here", whole)]
    tokens, faults = tokenize(text)
    parser = _Parser(tokens, faults)
    try:
        return parser.whole(), faults[:MAX_FAULTS]
    except _TooDeepError as error:
        message = "this expression is nested too deeply"
        faults.append(Fault("too-deep", message, error.span, expected=f"at most {MAX_DEPTH} levels"))
        return syntax.Faulty(whole), faults[-MAX_FAULTS:]


class _TooDeepError(Exception):
    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span


class _Parser:
    """A cursor over the tokens. `_depth` counts open levels, and links of chains such as a.b.c or 1 + 2 + 3."""

    def __init__(self, tokens: list[Token], faults: list[Fault]) -> None:
        self._tokens = tokens
        self._faults = faults
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._now.kind is not Kind.END:
            self._unexpected("an operator such as && or the end of the expression")
        return node

    # ── the cursor ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._now
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _at_sign(self, *signs: str) -> bool:
        return self._now.kind is Kind.SIGN and self._now.text in signs

    def _take_sign(self, sign: str) -> bool:
        if found := self._at_sign(sign):
            self._take()
        return found

    def _expect(self, sign: str) -> None:
        if not self._take_sign(sign):
            self._unexpected(sign)

    def _unexpected(self, expected: str) -> None:
        token = self._now
        found = f"{token.text!r}" if token.text else "the end"
        self._faults.append(Fault("syntax", f"{found} is not expected here", token.span, expected=expected))
        self._skip()

    def _skip(self) -> None:
        """Go on at the next sign from which reading can resume."""
        while self._now.kind is not Kind.END and not self._at_sign("&&", "||", ")", "]", "}", ","):
            self._take()

    def _enter(self, levels: int = 1) -> None:
        self._depth += levels
        if self._depth > MAX_DEPTH:
            raise _TooDeepError(self._now.span)

    def _from(self, start: int) -> Span:
        return Span(start, self._tokens[max(self._at - 1, 0)].span.end)

    # ── from loose to tight ─────────────────────────────────────────────────────────────────────────────────────

    def _expression(self) -> Node:
        self._enter()
        start = self._now.span.start
        node = self._junction("||")
        if self._take_sign("?"):
            then = self._expression()
            self._expect(":")
            node = syntax.Choice(self._from(start), node, then, self._expression())
        self._depth -= 1
        return node

    def _junction(self, operator: str) -> Node:
        start = self._now.span.start
        operands = [self._operand(operator)]
        while self._take_junction(operator):
            operands.append(self._operand(operator))
        if len(operands) == 1:
            return operands[0]
        return syntax.Junction(self._from(start), operator, tuple(operands))

    def _operand(self, operator: str) -> Node:
        return self._junction("&&") if operator == "||" else self._binary(0)

    def _take_junction(self, operator: str) -> bool:
        word = self._now
        if word.kind is Kind.IDENT and _WORDS.get(word.text) == operator:
            self._tell_word(word)
            self._take()
            return True
        return self._take_sign(operator)

    def _tell_word(self, word: Token) -> None:
        right = _WORDS[word.text]
        message = f"{word.text!r} is no operator of this language"
        self._faults.append(Fault("unknown-operator", message, word.span, suggestion=f"write {right} instead"))

    def _binary(self, rung: int) -> Node:
        if rung == len(_LADDER):
            return self._unary()
        start, depth = self._now.span.start, self._depth
        node = self._binary(rung + 1)
        while self._now.text in _LADDER[rung] and self._now.kind in (Kind.SIGN, Kind.IDENT):
            operator = self._take()
            self._enter()
            right = self._binary(rung + 1)
            node = syntax.Binary(self._from(start), operator.text, operator.span, node, right)
        self._depth = depth
        return node

    def _unary(self) -> Node:
        token = self._now
        if token.kind is Kind.IDENT and token.text == "not":
            self._tell_word(token)
        elif not self._at_sign("!", "-"):
            return self._postfix(self._primary())
        self._take()
        if token.text == "-" and self._now.kind in (Kind.INT, Kind.DOUBLE):
            return self._postfix(self._number(self._take(), negative=True, start=token.span.start))
        self._enter()
        operand = self._unary()
        self._depth -= 1
        return syntax.Unary(self._from(token.span.start), "-" if token.text == "-" else "!", operand)

    def _postfix(self, node: Node) -> Node:
        depth = self._depth
        while self._at_sign(".", "["):
            self._enter()
            node = self._member(node) if self._take().text == "." else self._index(node)
        self._depth = depth
        return node

    def _member(self, operand: Node) -> Node:
        name = self._now
        if name.kind is not Kind.IDENT:
            self._unexpected("a name after the dot")
            return syntax.Faulty(self._from(operand.span.start))
        self._take()
        if self._take_sign("("):
            args = self._items(")")
            return syntax.CallOf(self._from(operand.span.start), name.text, name.span, operand, args)
        return syntax.Select(self._from(operand.span.start), operand, name.text, name.span)

    def _index(self, operand: Node) -> Node:
        index = self._expression()
        self._expect("]")
        return syntax.IndexOf(self._from(operand.span.start), operand, index)

    # ── the leaves ──────────────────────────────────────────────────────────────────────────────────────────────

    def _primary(self) -> Node:
        token = self._now
        match token.kind:
            case Kind.INT | Kind.DOUBLE:
                return self._number(self._take(), negative=False, start=token.span.start)
            case Kind.STRING:
                return syntax.Literal(self._take().span, token.value)
            case Kind.IDENT:
                return self._name(self._take())
        return self._bracketed(token)

    def _bracketed(self, token: Token) -> Node:
        start = token.span.start
        if self._take_sign("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._take_sign("["):
            items = self._items("]")
            return syntax.ListOf(self._from(start), items)
        if self._take_sign("{"):
            entries = self._entries()
            return syntax.MapOf(self._from(start), entries)
        self._unexpected("a value such as a fact, a number or a string")
        return syntax.Faulty(token.span)

    def _number(self, token: Token, *, negative: bool, start: int) -> Node:
        assert not isinstance(token.value, str)
        span = Span(start, token.span.end)
        if token.kind is Kind.INT and token.value > INT_MAX and not negative:
            self._faults.append(Fault("number-too-large", "this number is beyond 64 bits", span))
            return syntax.Faulty(span)
        return syntax.Literal(span, -token.value if negative else token.value)

    def _name(self, token: Token) -> Node:
        word = _CAPITALS.get(token.text, token.text)
        if word != token.text:
            message = f"{token.text!r} is not known here"
            self._faults.append(Fault("unknown-name", message, token.span, suggestion=f"write {word} instead"))
        if word in _CONSTANTS:
            return syntax.Literal(token.span, _CONSTANTS[word])
        if self._take_sign("("):
            args = self._items(")")
            return syntax.CallOf(self._from(token.span.start), token.text, token.span, None, args)
        return syntax.Ident(token.span, token.text)

    def _items(self, close: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while self._now.kind is not Kind.END and not self._at_sign(close):
            items.append(self._expression())
            if not self._take_sign(","):
                break
        self._expect(close)
        return tuple(items)

    def _entries(self) -> tuple[tuple[Node, Node], ...]:
        entries: list[tuple[Node, Node]] = []
        while self._now.kind is not Kind.END and not self._at_sign("}"):
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression()))
            if not self._take_sign(","):
                break
        self._expect("}")
        return tuple(entries)
