"""The typed tree that the checker makes: every name resolved, every overload chosen. All evaluators read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from policies.language.declarations import Declaration
from policies.language.syntax import Span
from policies.language.types import Type
from policies.language.values import Value


@dataclass(frozen=True, slots=True)
class Const:
    """A literal or a parameter. `value` is one of those that `syntax.Literal` may hold, or a type name."""

    span: Span
    type: Type
    value: Value


@dataclass(frozen=True, slots=True)
class Input:
    """An input that is known to be there: required, defaulted, or tested with has() before."""

    span: Span
    type: Type
    source: Declaration


@dataclass(frozen=True, slots=True)
class InputPresent:
    """`has(input)`."""

    span: Span
    type: Type
    source: Declaration


@dataclass(frozen=True, slots=True)
class InputOr:
    """`input.orValue(otherwise)`."""

    span: Span
    type: Type
    source: Declaration
    otherwise: Typed


@dataclass(frozen=True, slots=True)
class InputMaybe:
    """An input that may be absent, as an optional."""

    span: Span
    type: Type
    source: Declaration


@dataclass(frozen=True, slots=True)
class VariableRead:
    """A variable of the document, by its position among them."""

    span: Span
    type: Type
    index: int


@dataclass(frozen=True, slots=True)
class LocalRead:
    """A name that a macro binds; `slot` is unique within one expression."""

    span: Span
    type: Type
    slot: int


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
    """An overload, by its id; `dynamic`: the first of the `candidates` that takes the values when it runs."""

    span: Span
    type: Type
    name: str
    candidates: tuple[str, ...]
    args: tuple[Typed, ...]
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A macro over a list or a map.

    kind: "all", "exists", "exists_one", "filter", "map", "transform_list", "transform_map" or "transform_map_entry".
    slots: of the element (or key), or of index and element (or key and value).
    when: the condition of those that have one beside `body`.
    """

    span: Span
    type: Type
    kind: str
    slots: tuple[int, ...]
    range: Typed
    body: Typed
    when: Typed | None = None


@dataclass(frozen=True, slots=True)
class Let:
    """`cel.bind(name, value, body)`; and, over an optional, `optMap` and `optFlatMap` by `kind`."""

    span: Span
    type: Type
    kind: str
    slot: int
    value: Typed
    body: Typed


@dataclass(frozen=True, slots=True)
class MakeList:
    """A list literal; `optional` holds the positions of the items that are left out when they hold nothing."""

    span: Span
    type: Type
    items: tuple[Typed, ...]
    optional: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MakeMap:
    """A map literal; keys and values in the order written; `optional` as in MakeList."""

    span: Span
    type: Type
    keys: tuple[Typed, ...]
    values: tuple[Typed, ...]
    optional: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fail:
    """An expression that is certain to have no value; only unchecked expressions hold one."""

    span: Span
    type: Type
    message: str


Typed = (
    Const
    | Input
    | InputPresent
    | InputOr
    | InputMaybe
    | VariableRead
    | LocalRead
    | Not
    | Logic
    | If
    | Compare
    | Rank
    | Apply
    | Comprehension
    | Let
    | MakeList
    | MakeMap
    | Fail
)


def children(node: Typed) -> tuple[Typed, ...]:
    """The direct operands of `node`."""
    match node:
        case InputOr():
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
        case Comprehension():
            return (node.range, node.body) if node.when is None else (node.range, node.body, node.when)
        case Let():
            return (node.value, node.body)
        case MakeList():
            return node.items
        case MakeMap():
            return (*node.keys, *node.values)
        case _:
            return ()


def walk(node: Typed) -> Iterator[Typed]:
    """`node` and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def inputs_read(node: Typed) -> set[Declaration]:
    """The inputs that `node` reads itself, those of its variables not counted."""
    return {each.source for each in walk(node) if isinstance(each, Input | InputPresent | InputOr | InputMaybe)}


def variables_read(node: Typed) -> set[int]:
    """The positions of the variables that `node` reads itself."""
    return {each.index for each in walk(node) if isinstance(each, VariableRead)}


def rebuild(node: Typed, change: Callable[[Typed], Typed]) -> Typed:
    """`node` with `change` applied to its direct operands."""
    match node:
        case InputOr():
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
        case Comprehension():
            when = change(node.when) if node.when is not None else None
            return replace(node, range=change(node.range), body=change(node.body), when=when)
        case Let():
            return replace(node, value=change(node.value), body=change(node.body))
        case MakeList():
            return replace(node, items=tuple(map(change, node.items)))
        case MakeMap():
            return replace(node, keys=tuple(map(change, node.keys)), values=tuple(map(change, node.values)))
        case _:
            return node
