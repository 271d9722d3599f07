"""Checking of comparisons and `in`: what can be compared with what, and the words of enums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies import syntax, typed
from policies.problems import did_you_mean
from policies.syntax import Span
from policies.typed import Const, Typed
from policies.types import BOOL, DOUBLE, ERROR, INT, NULL, STRING, Enum, List, Map, Type, is_number, is_text

if TYPE_CHECKING:
    from policies.checker import Checker


def check_in(checker: Checker, node: syntax.Binary, left: Typed, right: Typed) -> Typed:
    """The typed form of `left in right`."""
    if isinstance(right.type, Map) and is_text(left.type):
        return typed.Apply(node.span, BOOL, "contains_key", (left, right))
    if not isinstance(right.type, List):
        message = f"in needs a list or a map on its right, and this is {right.type}"
        return checker.fault("wrong-type", message, right.span)
    if not comparable(left.type, right.type.element):
        return _incomparable(checker, node, left.type, right.type.element)
    if isinstance(left.type, Enum):
        _check_words(checker, left.type, right)
    return typed.Apply(node.span, BOOL, "contains_element", (left, right))


def check_comparison(checker: Checker, node: syntax.Binary, left: Typed, right: Typed) -> Typed:
    """The typed form of `==`, `!=`, `<`, `<=`, `>` or `>=`."""
    equality = node.operator in ("==", "!=")
    enum = next((side.type for side in (left, right) if isinstance(side.type, Enum)), None)
    if enum is not None:
        return _compare_words(checker, node, left, right, enum, equality=equality)
    if not comparable(left.type, right.type):
        return _incomparable(checker, node, left.type, right.type)
    if not equality and left.type not in (INT, DOUBLE, STRING):
        return checker.fault("wrong-type", f"{left.type} has no order", node.operator_span, expected="== or !=")
    return typed.Compare(node.span, BOOL, node.operator, left, right)


def _compare_words(
    checker: Checker, node: syntax.Binary, left: Typed, right: Typed, enum: Enum, *, equality: bool
) -> Typed:
    if not (is_text(left.type) and is_text(right.type)):
        return _incomparable(checker, node, left.type, right.type)
    if isinstance(left.type, Enum) and isinstance(right.type, Enum) and left.type != right.type:
        return _incomparable(checker, node, left.type, right.type)
    _check_words(checker, enum, left)
    _check_words(checker, enum, right)
    if equality:
        return typed.Compare(node.span, BOOL, node.operator, left, right)
    if not enum.ordered:
        return checker.fault("wrong-type", f"{enum.name} has no order", node.operator_span, expected="== or in [...]")
    ranks = [typed.Rank(side.span, INT, _worded(checker, enum, side), enum.values) for side in (left, right)]
    return typed.Compare(node.span, BOOL, node.operator, ranks[0], ranks[1])


def _worded(checker: Checker, enum: Enum, side: Typed) -> Typed:
    """`side`, which must be of the enum or a literal, so that it surely has a rank."""
    if isinstance(side.type, Enum) or (isinstance(side, Const) and side.value in enum.values):
        return side
    if not isinstance(side, Const):
        checker.tell("wrong-type", f"{enum.name} is ordered against its own words only", side.span)
    return Const(side.span, ERROR, None)


def _check_words(checker: Checker, enum: Enum, side: Typed) -> None:
    """Every literal that `side` may be worth must be a word of `enum`."""
    match side:
        case Const(value=str(word)) if word not in enum.values:
            _unknown_word(checker, enum, word, side.span)
        case typed.MakeList():
            for item in side.items:
                _check_words(checker, enum, item)
        case typed.If():
            _check_words(checker, enum, side.then)
            _check_words(checker, enum, side.otherwise)


def _unknown_word(checker: Checker, enum: Enum, word: str, span: Span) -> None:
    near = did_you_mean(word, enum.values)
    remedy = f"did you mean {near!r}?" if near else ""
    words = ", ".join(repr(value) for value in enum.values)
    checker.tell("unknown-word", f"{enum.name} is never {word!r}", span, expected=words, suggestion=remedy)


def _incomparable(checker: Checker, node: syntax.Binary, left: Type, right: Type) -> Typed:
    message = f"{left} and {right} cannot be compared"
    remedy = "write has(fact) to ask whether it is there" if NULL in (left, right) else ""
    return checker.fault("wrong-type", message, node.operator_span, suggestion=remedy)


def comparable(left: Type, right: Type) -> bool:
    """Whether == makes sense: one type, two numbers, or texts. Numbers of both kinds compare exactly, as CEL says."""
    return left == right or (is_number(left) and is_number(right)) or (is_text(left) and is_text(right))
