"""How much work an expression can be, at most, for any inputs: known before it ever runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policies.language import typed
from policies.language.declarations import MAX_ITEMS, MAX_STRING
from policies.language.functions import Overload, Registry
from policies.language.library import STANDARD
from policies.language.typed import Typed
from policies.language.types import BYTES, List, Map, Optional, Type, is_text
from policies.language.values import Value

MAX_STEPS: Final = 10_000
MAX_SIZE: Final = 65_536
_CHARACTERS_PER_STEP: Final = 64


@dataclass(frozen=True, slots=True)
class Cost:
    """steps: operations in the worst case. size: characters or elements of the result. element: of its largest one."""

    steps: int
    size: int = 1
    element: int = 1

    @property
    def over_budget(self) -> bool:
        """True when the expression must be refused."""
        return self.steps > MAX_STEPS or max(self.size, self.element) > MAX_SIZE


Costs = Mapping[int, Cost]


class Pricing:
    """Prices the expressions of one document; `variables` hold the bounds of what they may read."""

    def __init__(self, variables: Sequence[Cost], functions: Registry = STANDARD) -> None:
        self._variables = variables
        self._functions = functions

    def cost(self, node: Typed, locals_: Costs | None = None) -> Cost:
        """The bound for `node`; `locals_`: of the names that macros bind, by slot."""
        locals_ = locals_ or {}
        match node:
            case typed.Const():
                return Cost(1, _size_of(node.value))
            case typed.Input() | typed.InputPresent() | typed.InputMaybe():
                return _bound(node.source.type)
            case typed.InputOr():
                other, ours = self.cost(node.otherwise, locals_), _bound(node.type)
                return Cost(1 + other.steps, max(other.size, ours.size), max(other.element, ours.element))
            case typed.LocalRead():
                return locals_[node.slot]
            case typed.VariableRead():
                return replace(self._variables[node.index], steps=1)
            case typed.Comprehension():
                return self._comprehension(node, locals_)
            case typed.Let():
                value = self.cost(node.value, locals_)
                body = self.cost(node.body, {**locals_, node.slot: replace(value, steps=1)})
                return replace(body, steps=value.steps + body.steps + 1)
            case _:
                return self._sum(node, [self.cost(child, locals_) for child in typed.children(node)])

    def _comprehension(self, node: typed.Comprehension, locals_: Costs) -> Cost:
        range_ = self.cost(node.range, locals_)
        element = Cost(1, range_.element, range_.element)
        inside = {**locals_, **dict.fromkeys(node.slots, element)}
        parts = [self.cost(part, inside) for part in (node.body, node.when) if part is not None]
        steps = range_.steps + range_.size * (1 + sum(part.steps for part in parts))
        if node.kind in ("all", "exists", "exists_one"):
            return Cost(steps)
        if node.kind == "filter":
            return Cost(steps, range_.size, range_.element)
        body = parts[0]
        times = body.size if node.kind == "transform_map_entry" else 1
        return Cost(steps, range_.size * times, max(body.size, body.element))

    def _sum(self, node: Typed, parts: Sequence[Cost]) -> Cost:
        steps = 1 + sum(part.steps for part in parts)
        sizes = [part.size for part in parts]
        element = max((part.element for part in parts), default=1)
        match node:
            case typed.MakeList():
                return Cost(steps, len(parts), max(element, *sizes, 1))
            case typed.MakeMap():
                return Cost(steps, len(parts) // 2, max(element, *sizes, 1))
            case typed.If():
                return Cost(steps, max(sizes), element)
            case typed.Apply():
                return self._apply(node, steps, sizes, element)
            case _:
                return Cost(steps + sum(sizes) // _CHARACTERS_PER_STEP)

    def _apply(self, node: typed.Apply, steps: int, sizes: Sequence[int], element: int) -> Cost:
        """The worst of the candidates; what is taken out of a list is as large as its largest element."""
        rows = [self._functions.by_id[id_] for id_ in node.candidates]
        sizes = _weighed(rows[0], node.args, sizes)
        steps += max(row.work(sizes) for row in rows)
        if isinstance(node.type, List | Map | Optional):
            return Cost(steps, max(max(row.size(sizes), 1) for row in rows), max((element, *sizes)))
        if node.name in _TAKES_OUT:
            return Cost(steps, element, element)
        return Cost(steps, max(row.size(sizes) for row in rows))


_TAKES_OUT: Final = frozenset({"_[_]", "_._", "value", "orValue"})


def _weighed(row: Overload, args: Sequence[Typed], sizes: Sequence[int]) -> Sequence[int]:
    """The sizes, with that of a constant last argument as its function weighs it."""
    if row.weight is None or row.judge is None or not isinstance(args[-1], typed.Const) or row.judge(args[-1].value):
        return sizes
    return [*sizes[:-1], row.weight(args[-1].value)]


def _size_of(value: Value) -> int:
    return max(1, len(value)) if isinstance(value, str | bytes) else 1


def _bound(type_: Type) -> Cost:
    """The largest value that an input of a type may have."""
    match type_:
        case List():
            element = _bound(type_.element)
            return Cost(1, MAX_ITEMS, max(element.size, element.element))
        case Map():
            value = _bound(type_.value)
            return Cost(1, MAX_ITEMS, max(MAX_STRING, value.size, value.element))
        case Optional():
            return _bound(type_.value)
        case _:
            return Cost(1, MAX_STRING if is_text(type_) or type_ == BYTES else 1)
