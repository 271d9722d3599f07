"""Tokens to a syntax tree, by precedence climbing. Goes on after an error, so that one save tells several at once.

The grammar is that of the CEL language definition, with optional selections, indices, elements and entries, and quoted
fields. Macros are calls here, and namespaces are selections; the checker tells them apart. There are no messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from policies.language import syntax
from policies.language.cursor import CLOSERS, HINTS, Cursor, TooDeepError
from policies.language.lexer import Kind, Token, tokenize
from policies.language.syntax import Fault, Node, Span
from policies.language.types import INT_MAX

KEYWORDS: Final = frozenset({"true", "false", "null", "in"})
"""Never a name, and a field only in backquotes."""
RESERVED: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"}
    | {"package", "namespace", "return", "var", "void", "while"}
)
"""Never a variable or a function; fine as a field or as a method."""
RANKS: Final = {
    **dict.fromkeys(("||",), 1),
    **dict.fromkeys(("&&",), 2),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
"""How tightly an operator binds: more is tighter. The ternary is looser than all, a unary sign tighter."""

_AND: Final = RANKS["&&"]
_WORDS: Final = {"and": "&&", "AND": "&&", "or": "||", "OR": "||", "not": "!", "NOT": "!"}
_OPERATORS: Final = frozenset({*RANKS, *_WORDS})
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_CAPITALS: Final = {"True": "true", "False": "false", "None": "null", "TRUE": "true", "FALSE": "false", "NULL": "null"}
_VALUES: Final = frozenset({Kind.INT, Kind.UINT, Kind.DOUBLE, Kind.STRING, Kind.BYTES})
_MAX_FAULTS: Final = 20

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an expression may be: characters of text, and levels of its tree and of the brackets in it.

    Reading takes up to eleven Python frames for a level. Where they run out, the expression is too deep as well.
    """

    characters: int = 4096
    depth: int = 48


LIMITS: Final = Limits()
"""What policies are held to."""


def parse(text: str, limits: Limits = LIMITS) -> tuple[Node, list[Fault]]:
    """The tree of `text` and what is wrong with it, at most 20 faults from left to right.

    Never raises; a tree with faults may hold `Faulty` nodes. Takes linear time.
    """
    whole = Span(0, len(text))
    if len(text) > limits.characters:
        message = f"this expression has {len(text)} characters"
        return syntax.Faulty(whole), [Fault("too-long", message, whole, expected=f"at most {limits.characters}")]
    tokens, faults = tokenize(text)
    if tokens[0].kind is Kind.END and not faults:
        return syntax.Faulty(whole), [Fault("empty-expression", "there is no expression here", whole)]
    parser = _Parser(tokens, faults, limits.depth)
    try:
        node = parser.whole()
        deep = _below(node, limits.depth)
    except (TooDeepError, RecursionError):
        node, deep = syntax.Faulty(whole), parser.now.span
    if deep is None:
        return node, _first(faults, _MAX_FAULTS)
    fault = Fault("too-deep", "this expression is nested too deeply", deep, expected=f"at most {limits.depth} levels")
    return syntax.Faulty(whole), [*_first(faults, _MAX_FAULTS - 1), fault]


def _below(root: Node, levels: int) -> Span | None:
    """Where a tree goes on below so many levels. A chain such as 1 + 2 + 3 or a.b.c is as deep as it has links."""
    level = [root]
    for _ in range(levels):
        level = [child for node in level for child in _children(node)]
        if not level:
            return None
    return level[0].span


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case syntax.Select() | syntax.Unary():
            return (node.operand,)
        case syntax.IndexOf():
            return (node.operand, node.index)
        case syntax.CallOf():
            return (*([node.target] if node.target else []), *node.args)
        case syntax.ListOf():
            return tuple(element.value for element in node.elements)
        case syntax.MapOf():
            return tuple(part for entry in node.entries for part in (entry.key, entry.value))
        case syntax.Binary():
            return (node.left, node.right)
        case syntax.Junction():
            return node.operands
        case syntax.Choice():
            return (node.condition, node.then, node.otherwise)
        case _:
            return ()


def _first(faults: list[Fault], most: int) -> list[Fault]:
    """The leftmost faults; what stands at one place stays in the order of telling."""
    return sorted(faults, key=lambda fault: fault.span.start)[:most]


class _Parser(Cursor):
    """A method for each rule of the grammar. What calls itself without a bound counts its levels with `enter`."""

    def whole(self) -> Node:
        """The whole text. What stands behind a stray sign is read too, for its faults."""
        parts = [self._expression()]
        while self.now.kind is not Kind.END:
            if self._rank() not in (1, _AND):
                self.unexpected("an operator such as && or the end of the expression")
            if self._rank() in (1, _AND):
                self._take_operator()
                parts.append(self._expression())
            else:
                self.take()
        return parts[0] if len(parts) == 1 else syntax.Junction(self.since(0), "&&", tuple(parts))

    # ── from loose to tight ─────────────────────────────────────────────────────────────────────────────────────

    def _expression(self) -> Node:
        self.enter()
        start = self.now.span.start
        node = self._climb(1)
        if self.take_sign("?"):
            node = self._choice(node, start)
        self.leave()
        return node

    def _choice(self, condition: Node, start: int) -> Node:
        then = self._climb(1)
        if self.at_sign("?"):
            suggestion = "put the inner choice into parentheses"
            self.tell("syntax", "'?' is not expected here", self.take().span, expected=":", suggestion=suggestion)
            self.enter()
            then = self._choice(then, then.span.start)
            self.leave()
        self.expect(":")
        otherwise = self._expression()
        return syntax.Choice(self.since(start), condition, then, otherwise)

    def _climb(self, loosest: int) -> Node:
        """Operators that bind at least as tightly as `loosest`, on both of their sides."""
        start = self.now.span.start
        node = self._unary()
        while (rank := self._rank()) >= loosest:
            join = self._junction if rank <= _AND else self._link
            node = join(node, start, rank)
        return node

    def _rank(self) -> int:
        """The rank of the operator that stands here; 0 when none does."""
        token = self.now
        if token.kind is Kind.SIGN:
            return RANKS.get(token.text, 0)
        if token.kind is not Kind.IDENT:
            return 0
        if token.text in ("not", "NOT"):
            return RANKS["in"] if self.ahead.text == "in" else 0
        return RANKS.get(_WORDS.get(token.text, token.text), 0)

    def _take_operator(self) -> Token:
        if self.now.text in _WORDS:
            self._tell_word(self.now, _WORDS[self.now.text])
        return self.take()

    def _tell_word(self, word: Token, right: str) -> None:
        message = f"{word.text!r} is no operator of this language"
        self.tell("unknown-operator", message, word.span, suggestion=f"write {right} instead")

    def _junction(self, first: Node, start: int, rank: int) -> Node:
        operands = [first]
        while self._rank() == rank:
            self._take_operator()
            operands.append(self._climb(rank + 1))
        return syntax.Junction(self.since(start), "&&" if rank == _AND else "||", tuple(operands))

    def _link(self, left: Node, start: int, rank: int) -> Node:
        negated = self.now.text in _WORDS
        if negated:
            self._tell_word(self.take(), "!(a in b)")
        operator = self.take()
        right = self._climb(rank + 1)
        node = syntax.Binary(self.since(start), operator.text, operator.span, left, right)
        return syntax.Unary(node.span, "!", node) if negated else node

    def _unary(self) -> Node:
        token = self.now
        if self._at_not():
            self._tell_word(token, "!")
        elif not self.at_sign("!", "-"):
            return self._postfix(self._primary(), token.span.start)
        self.take()
        if token.text == "-" and self.now.kind in (Kind.INT, Kind.DOUBLE):
            return self._postfix(self._number(self.take(), token), token.span.start)
        self.enter()
        operand = self._unary()
        self.leave()
        return syntax.Unary(self.since(token.span.start), "-" if token.text == "-" else "!", operand)

    def _at_not(self) -> bool:
        """Whether `not` stands here as an operator; it could be a name of the language."""
        if self.now.kind is not Kind.IDENT or self.now.text not in ("not", "NOT"):
            return False
        after = self.ahead
        if after.kind is Kind.SIGN:
            return after.text in ("(", "!")
        return after.kind in _VALUES or (after.kind is Kind.IDENT and after.text not in _OPERATORS)

    def _postfix(self, node: Node, start: int) -> Node:
        while self.at_sign(".", "[", "{"):
            if self.at_sign("{") and syntax.path_of(node) is None:
                break
            match self.take().text:
                case ".":
                    node = self._member(node, start)
                case "[":
                    node = self._index(node, start)
                case _:
                    node = self._message(start)
        return node

    def _member(self, operand: Node, start: int) -> Node:
        optional = self.take_sign("?")
        name = self.now
        if name.kind not in (Kind.IDENT, Kind.QUOTED) or name.text in KEYWORDS:
            self._no_field(name)
            return syntax.Faulty(self.since(start))
        self.take()
        if name.kind is Kind.IDENT and not optional and self.take_sign("("):
            args = self._listed(")", self._expression)
            return syntax.CallOf(self.since(start), name.text, name.span, operand, args)
        field = name.text if name.kind is Kind.IDENT else str(name.value)
        return syntax.Select(self.since(start), operand, field, name.span, optional)

    def _no_field(self, name: Token) -> None:
        if name.kind is Kind.IDENT:
            message, suggestion = f"{name.text!r} is a word of the language", f"write `{name.text}` instead"
            self.tell("reserved-word", message, name.span, suggestion=suggestion)
            self.take()
        elif name.kind is Kind.FAULTY:
            self.take()
        else:
            self.unexpected("a name after the dot")

    def _index(self, operand: Node, start: int) -> Node:
        opened = self.before.span
        optional = self.take_sign("?")
        index = self._expression()
        self.expect("]", opened)
        return syntax.IndexOf(self.since(start), operand, index, optional)

    def _message(self, start: int) -> Node:
        """`Name{field: value}`: read through, for the faults in it, and refused."""
        self._listed("}", self._initializer)
        span = self.since(start)
        self.tell("no-messages", "messages are not supported", span, expected="a map such as {'key': value}")
        return syntax.Faulty(span)

    def _initializer(self) -> None:
        self.take_sign("?")
        if self.now.kind in (Kind.IDENT, Kind.QUOTED):
            self.take()
        self.expect(":")
        self._expression()

    # ── the leaves ──────────────────────────────────────────────────────────────────────────────────────────────

    def _primary(self) -> Node:
        token = self.now
        match token.kind:
            case Kind.INT | Kind.DOUBLE:
                return self._number(self.take())
            case Kind.UINT | Kind.STRING | Kind.BYTES:
                return syntax.Literal(self.take().span, token.value)
            case Kind.FAULTY:
                return syntax.Faulty(self.take().span)
            case Kind.IDENT if token.text != "in":
                return self._name(self.take())
            case Kind.SIGN if token.text in ("(", "[", "{"):
                return self._bracketed(self.take())
            case Kind.SIGN if token.text == "." and self.ahead.kind is Kind.IDENT:
                return self._absolute(self.take(), self.take())
        self.unexpected("a value such as a fact, a number or a string")
        return syntax.Faulty(token.span)

    def _bracketed(self, token: Token) -> Node:
        start = token.span.start
        if token.text == "(":
            node = self._expression()
            self.expect(")", token.span)
            return node
        if token.text == "[":
            elements = self._listed("]", self._element)
            return syntax.ListOf(self.since(start), elements)
        entries = self._listed("}", self._entry)
        return syntax.MapOf(self.since(start), entries)

    def _number(self, token: Token, minus: Token | None = None) -> Node:
        assert isinstance(token.value, int | float)
        span = Span((minus or token).span.start, token.span.end)
        if minus:
            return syntax.Literal(span, -token.value)
        if token.kind is Kind.INT and token.value > INT_MAX:
            self.tell("number-too-large", "this number is beyond 64 bits", span)
            return syntax.Faulty(span)
        return syntax.Literal(span, token.value)

    def _name(self, token: Token) -> Node:
        word = _CAPITALS.get(token.text, token.text)
        if word != token.text:
            message = f"{token.text!r} is not known here"
            self.tell("unknown-name", message, token.span, suggestion=f"write {word} instead")
        if word in _CONSTANTS:
            return syntax.Literal(token.span, _CONSTANTS[word])
        return self._named(token, token.span, absolute=False)

    def _absolute(self, dot: Token, token: Token) -> Node:
        return self._named(token, Span(dot.span.start, token.span.end), absolute=True)

    def _named(self, token: Token, span: Span, *, absolute: bool) -> Node:
        """A variable or a call; the function of an absolute call keeps its dot."""
        reserved = token.text in RESERVED | KEYWORDS
        if reserved:
            suggestion = HINTS.get(token.text, "choose another name")
            self.tell("reserved-word", f"{token.text!r} is a reserved word", token.span, suggestion=suggestion)
        node: Node = syntax.Ident(span, token.text, absolute)
        if self.take_sign("("):
            args = self._listed(")", self._expression)
            function = "." + token.text if absolute else token.text
            node = syntax.CallOf(self.since(span.start), function, span, None, args)
        return syntax.Faulty(node.span) if reserved else node

    # ── lists of things ─────────────────────────────────────────────────────────────────────────────────────────

    def _element(self) -> syntax.Element:
        optional = self.take_sign("?")
        return syntax.Element(self._expression(), optional)

    def _entry(self) -> syntax.Entry:
        optional = self.take_sign("?")
        key = self._expression()
        self.expect(":")
        return syntax.Entry(key, self._expression(), optional)

    def _listed(self, close: str, item: Callable[[], _Item]) -> tuple[_Item, ...]:
        """Items up to the closing sign; a comma may stand behind the last one, or alone (the CEL grammar).

        The opening sign was just taken.
        """
        opened = self.before.span
        items: list[_Item] = []
        if self.at_sign(",") and self.ahead.text == close and close != ")":
            self.take()
        while not self.ended and not self.at_sign(close):
            items.append(item())
            if self.ended or self.at_sign(close):
                break
            if not self.at_sign(","):
                self.unexpected(f", or {close}", CLOSERS)
            if not self.take_sign(","):
                break
            if close == ")" and self.at_sign(close):
                self.unexpected("an argument")
        self.expect(close, opened)
        return tuple(items)
