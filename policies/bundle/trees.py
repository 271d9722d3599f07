"""Typed trees as plain data: `[kind, type, …]` for each node, overloads by id, facts by name. Spans stay behind."""

#     request.complexity < 0.3
#     ["compare", "bool", "<", ["input", "double", "request.complexity"], ["const", "double", 0.3]]

from __future__ import annotations

import base64
from typing import Any

from policies.bundle.errors import BundleError, Refusal
from policies.language import typed
from policies.language.typed import Typed
from policies.language.types import Enum, List, Map, Optional, Type
from policies.language.values import TypeName, Value

Data = list[Any]


def type_text(type_: Type) -> str:
    """A type as one word; an enum by the fact that declares it."""
    match type_:
        case Enum():
            return f"enum({type_.name})"
        case List():
            return f"list({type_text(type_.element)})"
        case Map():
            return f"map({type_text(type_.key)}, {type_text(type_.value)})"
        case Optional():
            return f"optional({type_text(type_.value)})"
        case _:
            return str(type_)


def encode(node: Typed) -> Data:
    """`node` as JSON-ready data. Raises BundleError for a node that no checked document holds."""
    kind, *parts = _parts(node)
    return [kind, type_text(node.type), *parts]


def _parts(node: Typed) -> Data:
    match node:
        case typed.Const():
            return ["const", _plain(node.value)]
        case typed.Input():
            return ["input", node.source.name]
        case typed.InputPresent():
            return ["has", node.source.name]
        case typed.InputOr():
            return ["or", node.source.name, encode(node.otherwise)]
        case typed.InputMaybe():
            return ["maybe", node.source.name]
        case typed.VariableRead():
            return ["variable", node.index]
        case typed.LocalRead():
            return ["local", node.slot]
        case _:
            return _compound(node)


def _compound(node: Typed) -> Data:
    match node:
        case typed.Not():
            return ["not", encode(node.operand)]
        case typed.Logic():
            return ["all" if node.every else "any", _all(node.operands)]
        case typed.If():
            return ["if", *_all(typed.children(node))]
        case typed.Compare():
            return ["compare", node.operator, encode(node.left), encode(node.right)]
        case typed.Rank():
            return ["rank", encode(node.operand), list(node.order)]
        case typed.Apply() if not node.dynamic:
            return ["call", node.candidates[0], _all(node.args)]
        case typed.Comprehension():
            when = None if node.when is None else encode(node.when)
            return ["macro", node.kind, list(node.slots), encode(node.range), encode(node.body), when]
        case typed.Let():
            return ["let", node.kind, node.slot, encode(node.value), encode(node.body)]
        case typed.MakeList():
            return ["list", _all(node.items), list(node.optional)]
        case typed.MakeMap():
            return ["map", _all(node.keys), _all(node.values), list(node.optional)]
    raise BundleError(Refusal.TREE, "a tree whose types are not all known cannot be packed")


def _all(nodes: tuple[Typed, ...]) -> Data:
    return [encode(node) for node in nodes]


def _plain(value: Value) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case TypeName():
            return value.name
        case list() | tuple():
            return [_plain(item) for item in value]
        case bool() | None | float() | str():
            return value
        case int():
            return int(value)
    raise BundleError(Refusal.TREE, f"a constant of type {type(value).__name__} cannot be packed")
