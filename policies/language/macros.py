"""Macros, calls that bind names: all, exists, exists_one, filter, map, their forms with two names, bind, optMap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policies.language import syntax, typed
from policies.language.calls import namespaced
from policies.language.context import Context, Present
from policies.language.names import check_has, input_named
from policies.language.syntax import path_of
from policies.language.typed import Typed
from policies.language.types import BOOL, DYN, ERROR, INT, List, Map, Optional, Type, is_loose


@dataclass(frozen=True, slots=True)
class Macro:
    """One macro over a list or a map: its kind, how many names it binds, whether a condition precedes the body."""

    kind: str
    names: int
    filters: bool
    form: str


_MACROS: Final[dict[tuple[str, int], Macro]] = {
    ("all", 2): Macro("all", 1, False, "list.all(x, condition)"),
    ("exists", 2): Macro("exists", 1, False, "list.exists(x, condition)"),
    ("exists_one", 2): Macro("exists_one", 1, False, "list.exists_one(x, condition)"),
    ("existsOne", 2): Macro("exists_one", 1, False, "list.existsOne(x, condition)"),
    ("filter", 2): Macro("filter", 1, False, "list.filter(x, condition)"),
    ("map", 2): Macro("map", 1, False, "list.map(x, value)"),
    ("map", 3): Macro("map", 1, True, "list.map(x, condition, value)"),
    ("all", 3): Macro("all", 2, False, "map.all(key, value, condition)"),
    ("exists", 3): Macro("exists", 2, False, "map.exists(key, value, condition)"),
    ("exists_one", 3): Macro("exists_one", 2, False, "map.exists_one(key, value, condition)"),
    ("existsOne", 3): Macro("exists_one", 2, False, "map.existsOne(key, value, condition)"),
    ("transformList", 3): Macro("transform_list", 2, False, "list.transformList(index, x, value)"),
    ("transformList", 4): Macro("transform_list", 2, True, "list.transformList(index, x, condition, value)"),
    ("transformMap", 3): Macro("transform_map", 2, False, "map.transformMap(key, value, new value)"),
    ("transformMap", 4): Macro("transform_map", 2, True, "map.transformMap(key, value, condition, new value)"),
    ("transformMapEntry", 3): Macro("transform_map_entry", 2, False, "map.transformMapEntry(key, value, {k: v})"),
    ("transformMapEntry", 4): Macro("transform_map_entry", 2, True, "map.transformMapEntry(key, value, if, {k: v})"),
}
_CONDITIONS: Final = frozenset({"all", "exists", "exists_one", "filter"})
_OPTIONAL: Final = {"optMap": "map", "optFlatMap": "flat_map"}
NAMES: Final = (*dict.fromkeys(name for name, _ in _MACROS), *_OPTIONAL)
"""What macros are called, for suggestions."""


def check_macro(context: Context, node: syntax.CallOf, present: Present) -> Typed | None:
    """The typed form of a macro; None when the call is none."""
    if node.function == "has" and node.target is None and len(node.args) == 1:
        return check_has(context, node, present)
    if node.target is None or namespaced(context, node) is not None:
        return None
    if path_of(node.target) == "cel" and node.function == "bind" and len(node.args) == 3:
        return _bind(context, node, present)
    if node.function in _OPTIONAL and len(node.args) == 2:
        return _over_optional(context, node, present)
    if node.function == "orValue" and len(node.args) == 1:
        return _or_value(context, node, present)
    macro = _MACROS.get((node.function, len(node.args)))
    if macro is not None:
        return _comprehension(context, node, node.target, macro, present)
    forms = [each.form for (name, _), each in _MACROS.items() if name == node.function]
    if not forms:
        return None
    return context.fault(
        "wrong-call", f"{node.function} is not called like this", node.function_span, expected=" or ".join(forms)
    )


def _bound_names(context: Context, nodes: Sequence[syntax.Node], form: str) -> list[str] | None:
    names = [node.name for node in nodes if isinstance(node, syntax.Ident) and not node.absolute]
    if len(names) == len(nodes) == len(set(names)):
        return names
    wrong = next((node for node in nodes if not isinstance(node, syntax.Ident) or node.absolute), nodes[-1])
    context.fault("wrong-call", "a plain name of its own is bound here", wrong.span, expected=form)
    return None


# ── over lists and maps ─────────────────────────────────────────────────────────────────────────────────────────


def _comprehension(context: Context, node: syntax.CallOf, target: syntax.Node, macro: Macro, present: Present) -> Typed:
    range_ = context.node(target, present)
    names = _bound_names(context, node.args[: macro.names], macro.form)
    if range_.type == ERROR or names is None:
        return typed.Const(node.span, ERROR, None)
    if not isinstance(range_.type, List | Map) and not is_loose(range_.type):
        message = f"{range_.type} is no list and no map"
        return context.fault("wrong-type", message, target.span, expected=macro.form)
    types = _bound_types(range_.type, macro.names)
    with context.bound(list(zip(names, types, strict=True)), node.span) as slots:
        when = context.boolean(node.args[macro.names], present) if macro.filters else None
        body = context.node(node.args[-1], present)
    if macro.kind in _CONDITIONS:
        body = context.as_bool(body)
    type_ = _result(context, macro.kind, range_.type, body)
    return typed.Comprehension(node.span, type_, macro.kind, slots, range_, body, when)


def _bound_types(range_: Type, names: int) -> tuple[Type, ...]:
    """Element of a list, key of a map; with two names index and element, key and value."""
    match range_:
        case List():
            return (range_.element,) if names == 1 else (INT, range_.element)
        case Map():
            return (range_.key, range_.value)[:names]
        case _:
            return (DYN,) * names


def _result(context: Context, kind: str, range_: Type, body: Typed) -> Type:
    if body.type == ERROR:
        return ERROR
    match kind:
        case "all" | "exists" | "exists_one":
            return BOOL
        case "filter":
            return List(_bound_types(range_, 1)[0])
        case "map" | "transform_list":
            return List(body.type)
        case "transform_map":
            return Map(_bound_types(range_, 2)[0], body.type)
    if isinstance(body.type, Map) or is_loose(body.type):
        return body.type
    return context.fault("wrong-type", f"this is {body.type}", body.span, expected="a map such as {key: value}").type


# ── bind and optionals ──────────────────────────────────────────────────────────────────────────────────────────


def _bind(context: Context, node: syntax.CallOf, present: Present) -> Typed:
    names = _bound_names(context, node.args[:1], "cel.bind(name, value, expression)")
    value = context.node(node.args[1], present)
    if names is None:
        return typed.Const(node.span, ERROR, None)
    with context.bound([(names[0], value.type)], node.span) as slots:
        body = context.node(node.args[2], present)
    return typed.Let(node.span, body.type, "bind", slots[0], value, body)


def _over_optional(context: Context, node: syntax.CallOf, present: Present) -> Typed:
    assert node.target is not None
    value = _optional(context, node.target, present)
    names = _bound_names(context, node.args[:1], f"optional.{node.function}(x, value)")
    if value.type == ERROR or names is None:
        return typed.Const(node.span, ERROR, None)
    if not isinstance(value.type, Optional) and not is_loose(value.type):
        return context.fault("wrong-type", f"{value.type} is no optional", node.target.span)
    inner = value.type.value if isinstance(value.type, Optional) else DYN
    with context.bound([(names[0], inner)], node.span) as slots:
        body = context.node(node.args[1], present)
    kind = _OPTIONAL[node.function]
    if kind == "flat_map" and not isinstance(body.type, Optional) and not is_loose(body.type):
        return context.fault("wrong-type", f"this is {body.type}", body.span, expected="an optional")
    type_ = Optional(body.type) if kind == "map" else body.type
    return typed.Let(node.span, type_, kind, slots[0], value, body)


def _optional(context: Context, target: syntax.Node, present: Present) -> Typed:
    """`target`; an input that may be absent is an optional here."""
    source = input_named(context, target)
    if source is not None and source.optional:
        return typed.InputMaybe(target.span, Optional(source.type), source)
    return context.node(target, present)


def _or_value(context: Context, node: syntax.CallOf, present: Present) -> Typed | None:
    """`input.orValue(x)`; None where the target is no input, so that it is an ordinary call."""
    assert node.target is not None
    source = input_named(context, node.target)
    if source is None:
        return None
    otherwise = context.node(node.args[0], present)
    if not source.optional:
        message = f"{source.name} is always there"
        return context.fault("always-there", message, node.function_span, suggestion=f"write {source.name} alone")
    if otherwise.type == ERROR or _stands_in(source.type, otherwise):
        return typed.InputOr(node.span, source.type, source, otherwise)
    whole = isinstance(otherwise, typed.Const) and str(otherwise.type) == "int" and str(source.type) == "double"
    remedy = f"write {otherwise.value}.0" if whole and isinstance(otherwise, typed.Const) else ""
    message = f"the default for {source.name} is {otherwise.type}"
    return context.fault("wrong-type", message, node.args[0].span, expected=str(source.type), suggestion=remedy)


def _stands_in(type_: Type, otherwise: Typed) -> bool:
    words = getattr(type_, "values", None)
    if words is not None and isinstance(otherwise, typed.Const):
        return otherwise.value in words
    return otherwise.type == type_
