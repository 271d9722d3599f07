"""Syntax tree to typed tree: resolves names, chooses overloads, tells every fault that can be known before it runs."""

from __future__ import annotations

from policies.language import calls, comparisons, syntax, typed
from policies.language.context import Context, Present, faulty
from policies.language.macros import check_macro
from policies.language.names import check_name
from policies.language.presence import present_when
from policies.language.scope import Rigor, Scope
from policies.language.syntax import Fault, Node
from policies.language.typed import Const, Typed
from policies.language.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    FREE,
    INT,
    NULL,
    STRING,
    UINT,
    List,
    Map,
    Optional,
    Type,
    holds,
)
from policies.language.values import key_of, kind_of

_LITERALS = {"null": NULL, "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES}
_KEYS = frozenset({BOOL, INT, UINT, STRING, DYN, FREE, ERROR})


def check(node: Node, scope: Scope, expected: Type | None) -> tuple[Typed, list[Fault]]:
    """The typed tree of `node` and what is wrong with it; expected None: any type. Never evaluate a faulty tree."""
    context = Context(scope, _node)
    result = context.node(node, frozenset())
    if expected is not None and result.type not in (expected, ERROR):
        context.tell("wrong-type", f"this is {result.type}", node.span, expected=str(expected))
    elif scope.strict and not context.faults and (unknown := _untyped(result)) is not None:
        context.tell("untyped", "the type of this is known only when it runs", unknown.span)
    return result, context.faults


def _untyped(tree: Typed) -> Typed | None:
    return next((part for part in typed.walk(tree) if holds(part.type, DYN)), None)


def _node(context: Context, node: Node, present: Present) -> Typed:
    """The typed form of any node."""
    match node:
        case syntax.Literal():
            return Const(node.span, _LITERALS[kind_of(node.value)], node.value)
        case syntax.Ident() | syntax.Select():
            return check_name(context, node, present)
        case syntax.Unary():
            return _unary(context, node, present)
        case syntax.Binary():
            return _binary(context, node, present)
        case syntax.Junction():
            return _junction(context, node, present)
        case syntax.Choice():
            return _choice(context, node, present)
        case syntax.ListOf():
            return _list(context, node, present)
        case syntax.MapOf():
            return _map(context, node, present)
        case syntax.IndexOf():
            return _index(context, node, present)
        case syntax.CallOf():
            return check_macro(context, node, present) or calls.check_call(context, node, present)
        case syntax.Faulty():
            return faulty(node.span)


# ── operators ───────────────────────────────────────────────────────────────────────────────────────────────────


def _unary(context: Context, node: syntax.Unary, present: Present) -> Typed:
    if node.operator == "!":
        return typed.Not(node.span, BOOL, context.boolean(node.operand, present))
    return calls.applied(context, "-_", (context.node(node.operand, present),), node.span, node.span)


def _junction(context: Context, node: syntax.Junction, present: Present) -> Typed:
    every = node.operator == "&&"
    operands: list[Typed] = []
    for operand in node.operands:
        checked = context.boolean(operand, present)
        present = present | present_when(checked, holds=every)
        operands.append(checked)
    return typed.Logic(node.span, BOOL, every, tuple(operands))


def _choice(context: Context, node: syntax.Choice, present: Present) -> Typed:
    condition = context.boolean(node.condition, present)
    then = context.node(node.then, present | present_when(condition, holds=True))
    otherwise = context.node(node.otherwise, present | present_when(condition, holds=False))
    return typed.If(node.span, context.common([then, otherwise], node.span), condition, then, otherwise)


def _binary(context: Context, node: syntax.Binary, present: Present) -> Typed:
    left, right = context.node(node.left, present), context.node(node.right, present)
    if ERROR in (left.type, right.type):
        return faulty(node.span)
    match node.operator:
        case "in":
            return comparisons.check_in(context, node, left, right)
        case "==" | "!=" | "<" | "<=" | ">" | ">=":
            return comparisons.check_comparison(context, node, left, right)
        case operator:
            return calls.applied(context, f"_{operator}_", (left, right), node.span, node.operator_span)


def _index(context: Context, node: syntax.IndexOf, present: Present) -> Typed:
    operands = (context.node(node.operand, present), context.node(node.index, present))
    return calls.applied(context, "_[?_]" if node.optional else "_[_]", operands, node.span, node.index.span)


# ── lists and maps ──────────────────────────────────────────────────────────────────────────────────────────────


def _list(context: Context, node: syntax.ListOf, present: Present) -> Typed:
    items = tuple(_element(context, each.value, each.optional, present) for each in node.elements)
    optional = tuple(index for index, each in enumerate(node.elements) if each.optional)
    element = _inner(context, items, optional, node.span)
    return typed.MakeList(node.span, ERROR if element == ERROR else List(element), items, optional)


def _element(context: Context, node: Node, optional: bool, present: Present) -> Typed:
    checked = context.node(node, present)
    if optional and not isinstance(checked.type, Optional) and checked.type not in (DYN, FREE, ERROR):
        return context.fault("wrong-type", f"this is {checked.type}", node.span, expected="an optional after ?")
    return checked


def _inner(context: Context, values: tuple[Typed, ...], optional: tuple[int, ...], span: syntax.Span) -> Type:
    """The common type of values, those at `optional` counted by what they hold."""
    if not values:
        return FREE
    return context.common([_held(value) if index in optional else value for index, value in enumerate(values)], span)


def _held(value: Typed) -> Typed:
    return Const(value.span, value.type.value, None) if isinstance(value.type, Optional) else value


def _map(context: Context, node: syntax.MapOf, present: Present) -> Typed:
    keys = tuple(_key(context, entry.key, present) for entry in node.entries)
    values = tuple(_element(context, entry.value, entry.optional, present) for entry in node.entries)
    optional = tuple(index for index, entry in enumerate(node.entries) if entry.optional)
    _tell_doubles(context, keys)
    key, value = _inner(context, keys, (), node.span), _inner(context, values, optional, node.span)
    return typed.MakeMap(node.span, ERROR if ERROR in (key, value) else Map(key, value), keys, values, optional)


def _key(context: Context, node: Node, present: Present) -> Typed:
    checked = context.node(node, present)
    if checked.type in _KEYS or context.scope.rigor is Rigor.UNCHECKED:
        return checked
    return context.fault(
        "wrong-type", f"a {checked.type} can be no key", node.span, expected="string, int, uint or bool"
    )


def _tell_doubles(context: Context, keys: tuple[Typed, ...]) -> None:
    seen: set[object] = set()
    for key in keys:
        if not isinstance(key, Const) or key.type == ERROR or context.scope.rigor is not Rigor.DOCUMENT:
            continue
        value = key_of(key.value)
        if value in seen:
            context.tell("double-key", f"the key {key.value!r} is there twice", key.span)
        seen.add(value)
