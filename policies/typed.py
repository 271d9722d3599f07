"""The typed tree that the checker makes: every name resolved, every operator chosen. Both evaluators read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from policies.facts import FactSpec
from policies.syntax import Span
from policies.types import Type

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]


@dataclass(frozen=True, slots=True)
class Const:
    """A literal or a parameter."""

    span: Span
    type: Type
    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class FactRead:
    """A fact that is known to be there: required, defaulted, or tested with has() before."""

    span: Span
    type: Type
    fact: FactSpec


@dataclass(frozen=True, slots=True)
class FactPresent:
    """`has(fact)`."""

    span: Span
    type: Type
    fact: FactSpec


@dataclass(frozen=True, slots=True)
class FactOr:
    """`fact.orValue(otherwise)`."""

    span: Span
    type: Type
    fact: FactSpec
    otherwise: Typed


@dataclass(frozen=True, slots=True)
class VariableRead:
    """A variable of the document, by its position among them."""

    span: Span
    type: Type
    index: int


@dataclass(frozen=True, slots=True)
class LocalRead:
    """The element that a quantifier is looking at; `slot` is unique within one expression."""

    span: Span
    type: Type
    slot: int


@dataclass(frozen=True, slots=True)
class DecisionRead:
    """`decision.mode` or `decision.leaves_device`: known in invariants only."""

    span: Span
    type: Type
    field: str


@dataclass(frozen=True, slots=True)
class Not:
    """Logical negation."""

    span: Span
    type: Type
    operand: Typed


@dataclass(frozen=True, slots=True)
class Logic:
    """All operands hold (`every`), or one does. An error gives way to an operand that settles the matter (CEL)."""

    span: Span
    type: Type
    every: bool
    operands: tuple[Typed, ...]


@dataclass(frozen=True, slots=True)
class If:
    """The ternary operator."""

    span: Span
    type: Type
    condition: Typed
    then: Typed
    otherwise: Typed


@dataclass(frozen=True, slots=True)
class Compare:
    """`==`, `!=`, `<`, `<=`, `>` or `>=` on values that Python compares as CEL does."""

    span: Span
    type: Type
    operator: str
    left: Typed
    right: Typed


@dataclass(frozen=True, slots=True)
class Rank:
    """The place of a word in its ordered enum, from 0."""

    span: Span
    type: Type
    operand: Typed
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of `operators.FUNCTIONS`, by its name there."""

    span: Span
    type: Type
    function: str
    args: tuple[Typed, ...]


@dataclass(frozen=True, slots=True)
class Quantifier:
    """`exists` (not `every`) or `all` over a list."""

    span: Span
    type: Type
    every: bool
    slot: int
    range: Typed
    body: Typed


@dataclass(frozen=True, slots=True)
class MakeList:
    """A list literal."""

    span: Span
    type: Type
    items: tuple[Typed, ...]


@dataclass(frozen=True, slots=True)
class MakeMap:
    """A map literal; keys are constant and distinct."""

    span: Span
    type: Type
    keys: tuple[str, ...]
    values: tuple[Typed, ...]


Typed = (
    Const
    | FactRead
    | FactPresent
    | FactOr
    | VariableRead
    | LocalRead
    | DecisionRead
    | Not
    | Logic
    | If
    | Compare
    | Rank
    | Apply
    | Quantifier
    | MakeList
    | MakeMap
)


def children(node: Typed) -> tuple[Typed, ...]:
    """The direct operands of `node`."""
    match node:
        case FactOr():
            return (node.otherwise,)
        case Not() | Rank():
            return (node.operand,)
        case Logic():
            return node.operands
        case If():
            return (node.condition, node.then, node.otherwise)
        case Compare():
            return (node.left, node.right)
        case Apply():
            return node.args
        case Quantifier():
            return (node.range, node.body)
        case MakeList():
            return node.items
        case MakeMap():
            return node.values
        case _:
            return ()


def walk(node: Typed) -> Iterator[Typed]:
    """`node` and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def facts_read(node: Typed) -> set[FactSpec]:
    """The facts that `node` reads itself, those of its variables not counted."""
    return {n.fact for n in walk(node) if isinstance(n, FactRead | FactPresent | FactOr)}


def variables_read(node: Typed) -> set[int]:
    """The positions of the variables that `node` reads itself."""
    return {n.index for n in walk(node) if isinstance(n, VariableRead)}


def rebuild(node: Typed, change: Callable[[Typed], Typed]) -> Typed:
    """`node` with `change` applied to its direct operands."""
    match node:
        case FactOr():
            return replace(node, otherwise=change(node.otherwise))
        case Not() | Rank():
            return replace(node, operand=change(node.operand))
        case Logic():
            return replace(node, operands=tuple(map(change, node.operands)))
        case If():
            condition, then, otherwise = change(node.condition), change(node.then), change(node.otherwise)
            return replace(node, condition=condition, then=then, otherwise=otherwise)
        case Compare():
            return replace(node, left=change(node.left), right=change(node.right))
        case Apply():
            return replace(node, args=tuple(map(change, node.args)))
        case Quantifier():
            return replace(node, range=change(node.range), body=change(node.body))
        case MakeList():
            return replace(node, items=tuple(map(change, node.items)))
        case MakeMap():
            return replace(node, values=tuple(map(change, node.values)))
        case _:
            return node
