"""The syntax tree that the parser builds: what was written, with spans, before any name or type is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Character offsets in the expression's text, `end` exclusive."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal:
    """null, a bool, an int, a double or a string."""

    span: Span
    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Ident:
    """A bare name."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; `field_span` covers the field's name alone."""

    span: Span
    operand: Node
    field: str
    field_span: Span


@dataclass(frozen=True, slots=True)
class IndexOf:
    """`operand[index]`."""

    span: Span
    operand: Node
    index: Node


@dataclass(frozen=True, slots=True)
class CallOf:
    """`function(args)` or `target.function(args)`."""

    span: Span
    function: str
    function_span: Span
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    span: Span
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{k: v}`."""

    span: Span
    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`!a` or `-a`."""

    span: Span
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """A comparison, `in`, or arithmetic; `operator_span` covers the sign alone."""

    span: Span
    operator: str
    operator_span: Span
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Junction:
    """`a && b && …` or `a || b || …`, flat so that long chains are not deep."""

    span: Span
    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? then : otherwise`."""

    span: Span
    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Faulty:
    """What could not be parsed; its problem has been told."""

    span: Span


Node = Literal | Ident | Select | IndexOf | CallOf | ListOf | MapOf | Unary | Binary | Junction | Choice | Faulty


def path_of(node: Node) -> str | None:
    """`request.task` for a chain of selections on a name; None for any other node."""
    fields: list[str] = []
    while isinstance(node, Select):
        fields.append(node.field)
        node = node.operand
    return ".".join([node.name, *reversed(fields)]) if isinstance(node, Ident) else None
