"""How much work an expression can be, at most, for any facts: known before it ever runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policies import typed
from policies.reading import MAX_STRING
from policies.typed import Typed
from policies.types import is_text

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


def cost_of(node: Typed, variables: Sequence[Cost], locals_: Mapping[int, Cost] | None = None) -> Cost:
    """The bound for `node`; `variables` and `locals_` (by slot) hold the bounds of what it may read."""
    locals_ = locals_ or {}
    match node:
        case typed.Const():
            return Cost(1, len(node.value) if isinstance(node.value, str) else 1)
        case typed.FactRead() | typed.FactPresent() | typed.DecisionRead():
            return Cost(1, MAX_STRING if is_text(node.type) else 1)
        case typed.LocalRead():
            return locals_[node.slot]
        case typed.VariableRead():
            return replace(variables[node.index], steps=1)
        case typed.Quantifier():
            range_ = cost_of(node.range, variables, locals_)
            element = Cost(1, range_.element, range_.element)
            body = cost_of(node.body, variables, {**locals_, node.slot: element})
            return Cost(range_.steps + range_.size * (body.steps + 1))
        case _:
            return _sum(node, [cost_of(child, variables, locals_) for child in typed.children(node)])


def _sum(node: Typed, parts: Sequence[Cost]) -> Cost:
    steps = 1 + sum(part.steps for part in parts)
    sizes = [part.size for part in parts]
    element = max(part.element for part in parts)
    match node:
        case typed.MakeList() | typed.MakeMap():
            return Cost(steps, len(parts), max(element, *sizes))
        case typed.If():
            return Cost(steps, max(sizes), element)
        case typed.FactOr():
            return Cost(steps, max(sizes[0], MAX_STRING if is_text(node.type) else 1))
        case typed.Apply():
            return _apply(node.function, steps, sizes, element)
        case _:
            return Cost(steps + sum(sizes) // _CHARACTERS_PER_STEP)


def _apply(function: str, steps: int, sizes: Sequence[int], element: int) -> Cost:
    touched = steps + sum(sizes) // _CHARACTERS_PER_STEP
    match function:
        case "join_string" | "join_list":
            return Cost(touched, sum(sizes), element)
        case "contains_element":
            return Cost(steps + sizes[1] * (1 + element // _CHARACTERS_PER_STEP))
        case "at_index" | "at_key":
            return Cost(steps, element, element)
        case _:
            return Cost(touched, sizes[0])
