"""Expressions as values to compare: equal expressions, their variables written out, are one number; may they fail?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policies.language import typed
from policies.language.library import STANDARD
from policies.language.typed import Typed
from policies.language.types import STRING, List, Map, Optional


class Terms:
    """The expressions met so far. Two with one key are worth the same for the same inputs, in whatever document."""

    def __init__(self) -> None:
        self._keys: dict[tuple[Any, ...], int] = {}
        self._fallible: list[bool] = []

    def key(self, node: Typed, variables: Sequence[int]) -> int:
        """The key of `node`; `variables`: those of the document's variables."""
        if isinstance(node, typed.VariableRead):
            return variables[node.index]
        parts = [self.key(child, variables) for child in typed.children(node)]
        shape = (type(node).__name__, *_own(node), *parts)
        if shape not in self._keys:
            self._keys[shape] = len(self._keys)
            self._fallible.append(_fails_itself(node) or any(self._fallible[part] for part in parts))
        return self._keys[shape]

    def may_fail(self, key: int) -> bool:
        """Whether it may raise, its inputs being good."""
        return self._fallible[key]


def _own(node: Typed) -> tuple[Any, ...]:
    """What sets a node apart from others with the same operands."""
    match node:
        case typed.Const():
            return (str(node.type), type(node.value).__name__, repr(node.value))
        case typed.Input() | typed.InputPresent() | typed.InputOr() | typed.InputMaybe():
            return (node.source.name,)
        case typed.LocalRead():
            return (node.slot,)
        case typed.Logic():
            return (node.every,)
        case typed.Compare():
            return (node.operator,)
        case typed.Rank():
            return (node.order,)
        case typed.Apply():
            return (node.candidates, node.dynamic)
        case typed.Comprehension():
            return (node.kind, node.slots, node.when is None)
        case typed.Let():
            return (node.kind, node.slot)
        case typed.MakeList() | typed.MakeMap():
            return (node.optional,)
        case _:
            return ()


def _fails_itself(node: Typed) -> bool:
    """Whether `node` may fail although its operands do not. True where it is not known."""
    match node:
        case typed.Apply():
            return node.dynamic or any(STANDARD.by_id[id_].fallible for id_ in node.candidates)
        case typed.Comprehension():
            return node.kind == "transform_map_entry" or not isinstance(node.range.type, List | Map)
        case typed.Let():
            return node.kind != "bind" and not isinstance(node.value.type, Optional)
        case typed.MakeList():
            return bool(node.optional)
        case typed.MakeMap():
            return not _has_plain_keys(node)
        case _:
            return isinstance(node, typed.Fail)


def _has_plain_keys(node: typed.MakeMap) -> bool:
    keys = [key.value for key in node.keys if isinstance(key, typed.Const) and key.type == STRING]
    return not node.optional and len(set(keys)) == len(node.keys)
