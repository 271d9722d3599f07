"""Comparisons and `in`: what can be compared with what, natively where Python agrees with CEL; the words of enums."""

from __future__ import annotations

from typing import Final

from policies.language import calls, syntax, typed
from policies.language.context import Context
from policies.language.suggest import did_you_mean
from policies.language.syntax import Span
from policies.language.typed import Const, Typed
from policies.language.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    ERROR,
    INT,
    NULL,
    NUMBERS,
    STRING,
    TIMESTAMP,
    UINT,
    VERSION,
    Enum,
    List,
    Map,
    Optional,
    Type,
    is_loose,
    is_text,
    join,
)

_NATIVE: Final = frozenset({BOOL, INT, UINT, DOUBLE, STRING, BYTES, DURATION, TIMESTAMP, VERSION})
"""Types whose values Python itself compares as CEL does."""
_WHOLE: Final = frozenset({INT, UINT})
EQUALITY: Final = frozenset({"==", "!="})


def check_comparison(context: Context, node: syntax.Binary, left: Typed, right: Typed) -> Typed:
    """The typed form of `left == right` and its kin."""
    enum = next((side.type for side in (left, right) if isinstance(side.type, Enum)), None)
    if enum is not None and is_text(left.type) and is_text(right.type):
        return _compare_words(context, node, left, right, enum)
    if node.operator in EQUALITY and not comparable(left.type, right.type):
        return _incomparable(context, node, left.type, right.type)
    if native(left.type, right.type, equality=node.operator in EQUALITY):
        return typed.Compare(node.span, BOOL, node.operator, left, right)
    if node.operator in EQUALITY or _ordered(context, left.type, right.type):
        return calls.applied(context, f"_{node.operator}_", (left, right), node.span, node.operator_span)
    return _incomparable(context, node, left.type, right.type)


def _ordered(context: Context, left: Type, right: Type) -> bool:
    return not context.scope.strict or {left, right} <= NUMBERS


def native(left: Type, right: Type, *, equality: bool) -> bool:
    """Whether Python's own operators do it: one simple type, two texts, whole numbers, and numbers that are equal.

    Python orders a whole number and a double exactly, CEL as doubles.
    """
    if (left == right and left in _NATIVE) or {left, right} <= (NUMBERS if equality else _WHOLE):
        return True
    return not is_loose(left) and not is_loose(right) and is_text(left) and is_text(right)


def comparable(left: Type, right: Type) -> bool:
    """Whether == makes sense: types that join, or two numbers. Numbers of two kinds compare exactly, as CEL says."""
    if NULL in (left, right) and left != right:
        return isinstance(left, Optional) or isinstance(right, Optional) or is_loose(left) or is_loose(right)
    return {left, right} <= NUMBERS or join(left, right) is not None


def check_in(context: Context, node: syntax.Binary, left: Typed, right: Typed) -> Typed:
    """The typed form of `left in right`."""
    if isinstance(right.type, List):
        return _check_in_list(context, node, left, right, right.type.element)
    if isinstance(right.type, Map) and not comparable(left.type, right.type.key):
        return _incomparable(context, node, left.type, right.type.key)
    if isinstance(right.type, Map) or is_loose(right.type):
        return calls.applied(context, "_in_", (left, right), node.span, node.operator_span)
    return context.fault("wrong-type", f"{right.type} holds no elements", right.span, expected="a list or a map")


def _check_in_list(context: Context, node: syntax.Binary, left: Typed, right: Typed, element: Type) -> Typed:
    if not comparable(left.type, element):
        return _incomparable(context, node, left.type, element)
    if isinstance(left.type, Enum):
        check_words(context, left.type, right)
    return calls.applied(context, "_in_", (left, right), node.span, node.operator_span)


# ── enums ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _compare_words(context: Context, node: syntax.Binary, left: Typed, right: Typed, enum: Enum) -> Typed:
    if isinstance(left.type, Enum) and isinstance(right.type, Enum) and left.type != right.type:
        return _incomparable(context, node, left.type, right.type)
    check_words(context, enum, left)
    check_words(context, enum, right)
    if node.operator in EQUALITY:
        return typed.Compare(node.span, BOOL, node.operator, left, right)
    if not enum.ordered:
        return context.fault("wrong-type", f"{enum.name} has no order", node.operator_span, expected="== or in [...]")
    ranks = [typed.Rank(side.span, INT, _worded(context, enum, side), enum.values) for side in (left, right)]
    return typed.Compare(node.span, BOOL, node.operator, ranks[0], ranks[1])


def _worded(context: Context, enum: Enum, side: Typed) -> Typed:
    """`side`, which must be of the enum or a literal, so that it surely has a rank."""
    if isinstance(side.type, Enum) or (isinstance(side, Const) and side.value in enum.values):
        return side
    if not isinstance(side, Const):
        context.tell("wrong-type", f"{enum.name} is ordered against its own words only", side.span)
    return Const(side.span, ERROR, None)


def check_words(context: Context, enum: Enum, side: Typed) -> None:
    """Every literal that `side` may be worth must be a word of `enum`."""
    match side:
        case Const(value=str(word)) if word not in enum.values:
            _unknown_word(context, enum, word, side.span)
        case typed.MakeList():
            for item in side.items:
                check_words(context, enum, item)
        case typed.If():
            check_words(context, enum, side.then)
            check_words(context, enum, side.otherwise)


def _unknown_word(context: Context, enum: Enum, word: str, span: Span) -> None:
    near = did_you_mean(word, enum.values)
    remedy = f"did you mean {near!r}?" if near else ""
    words = ", ".join(repr(value) for value in enum.values)
    context.tell("unknown-word", f"{enum.name} is never {word!r}", span, expected=words, suggestion=remedy)


def _incomparable(context: Context, node: syntax.Binary, left: Type, right: Type) -> Typed:
    message = f"{left} and {right} cannot be compared"
    remedy = "write has(fact) to ask whether it is there" if NULL in (left, right) else ""
    return context.fault("wrong-type", message, node.operator_span, suggestion=remedy)
