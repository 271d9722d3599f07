"""The syntax tree that the parser builds: what was written, with spans, before any name or type is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Character offsets in the expression's text, `end` exclusive."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem inside one expression, not yet placed in a document.

    code: a literal word in kebab-case. expected, suggestion: what would have been right; empty when not known.
    """

    code: str
    message: str
    span: Span
    expected: str = ""
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class Literal:
    """null, a bool, an int, an unsigned int (`Uint`), a double, a string or bytes."""

    span: Span
    value: object


@dataclass(frozen=True, slots=True)
class Ident:
    """A bare name. `absolute`: written `.name`, so that it is looked up outside of every container and macro."""

    span: Span
    name: str
    absolute: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; `optional`: `operand.?field`. `field_span` covers the field's name alone."""

    span: Span
    operand: Node
    field: str
    field_span: Span
    optional: bool = False


@dataclass(frozen=True, slots=True)
class IndexOf:
    """`operand[index]`; `optional`: `operand[?index]`."""

    span: Span
    operand: Node
    index: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CallOf:
    """`function(args)` or `target.function(args)`; macros are calls too, until they are checked."""

    span: Span
    function: str
    function_span: Span
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a list literal; `optional`: written `?value`, and left out when it holds nothing."""

    value: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, ?b]`."""

    span: Span
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a map literal; `optional`: written `?key: value`, and left out when the value holds nothing."""

    key: Node
    value: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{k: v, ?k: v}`."""

    span: Span
    entries: tuple[Entry, ...]


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
    """`request.task` for a chain of plain selections on a name; None for any other node."""
    fields: list[str] = []
    while isinstance(node, Select) and not node.optional:
        fields.append(node.field)
        node = node.operand
    return ".".join([node.name, *reversed(fields)]) if isinstance(node, Ident) else None


def root_of(node: Node) -> Ident | None:
    """The name that a chain of selections starts from."""
    while isinstance(node, Select):
        node = node.operand
    return node if isinstance(node, Ident) else None
