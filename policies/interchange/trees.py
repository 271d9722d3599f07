"""Syntax trees built, taken apart and rewritten: the common tools of all importers and of the export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from policies.language import syntax
from policies.language.macros import NAMES as MACROS
from policies.language.parser import parse
from policies.language.syntax import CallOf, Element, Entry, Ident, IndexOf, Node, Select, Span, path_of, root_of

NOWHERE: Final = Span(0, 0)
NO_NAMES: Final[frozenset[str]] = frozenset()

Change = Callable[[Node, frozenset[str]], Node | None]
"""What becomes of a node under these names that macros bind; None: nothing, look at its parts."""

_WITH_TWO: Final = frozenset({"all", "exists", "exists_one", "existsOne"})


# ── building ────────────────────────────────────────────────────────────────────────────────────────────────────────


def name(path: str) -> Node:
    """The node of a dotted name."""
    first, *rest = path.split(".")
    node: Node = Ident(NOWHERE, first)
    for field in rest:
        node = Select(NOWHERE, node, field, NOWHERE)
    return node


def literal(value: Any) -> Node:
    """The node of plain data: None, bools, numbers, texts, lists, maps with text as keys."""
    match value:
        case Mapping():
            entries = tuple(Entry(literal(key), literal(each)) for key, each in value.items())
            return syntax.MapOf(NOWHERE, entries)
        case list() | tuple():
            return syntax.ListOf(NOWHERE, tuple(Element(literal(each)) for each in value))
        case _:
            return syntax.Literal(NOWHERE, value)


def compared(left: Node, operator: str, right: Node) -> Node:
    """`left operator right`."""
    return syntax.Binary(left.span, operator, NOWHERE, left, right)


def every(parts: Iterable[Node]) -> Node:
    """All of the parts joined by `&&`; `true` when there are none."""
    flat = tuple(operand for part in parts for operand in _operands(part))
    if len(flat) > 1:
        return syntax.Junction(flat[0].span, "&&", flat)
    return flat[0] if flat else syntax.Literal(NOWHERE, True)


def _operands(node: Node) -> tuple[Node, ...]:
    if isinstance(node, syntax.Junction) and node.operator == "&&":
        return node.operands
    return () if is_true(node) else (node,)


def is_true(node: Node) -> bool:
    """Whether a node is the word `true`."""
    return isinstance(node, syntax.Literal) and node.value is True


def own_text(text: str) -> Node:
    """The tree of an expression that a program wrote. Raises ValueError where it is faulty."""
    node, faults = parse(text)
    if faults:
        raise ValueError(f"{text!r}: {faults[0].message}")
    return node


# ── taking apart ────────────────────────────────────────────────────────────────────────────────────────────────────


class NotPlainError(ValueError):
    """A tree is no plain data."""


def plain_data(node: Node) -> Any:
    """The data that a tree of literals stands for. Raises NotPlainError."""
    match node:
        case syntax.Literal(value=bytes()):
            raise NotPlainError("bytes are no plain data")
        case syntax.Literal(value=int(value)) if not isinstance(value, bool):
            return int(value)
        case syntax.Literal():
            return node.value
        case syntax.ListOf() if not any(element.optional for element in node.elements):
            return [plain_data(element.value) for element in node.elements]
        case syntax.MapOf() if not any(entry.optional for entry in node.entries):
            return _plain_map(node.entries)
        case _:
            raise NotPlainError("only plain values can be taken over")


def _plain_map(entries: Sequence[Entry]) -> dict[str, Any]:
    found = {
        plain_data(entry.key): plain_data(entry.value) for entry in entries if isinstance(entry.key, syntax.Literal)
    }
    if len(found) != len(entries) or not all(isinstance(key, str) for key in found):
        raise NotPlainError("the keys of a map are different texts")
    return found


def dotted(node: Node) -> str | None:
    """`a.b.c` for plain selections and for indices that are texts, as in `a["b"].c`; None for any other node."""
    words: list[str] = []
    while True:
        match node:
            case Select(optional=False):
                words.append(node.field)
                node = node.operand
            case IndexOf(optional=False, index=syntax.Literal(value=str(word))):
                words.append(word)
                node = node.operand
            case Ident():
                return ".".join([node.name, *reversed(words)])
            case _:
                return None


def is_free(node: Node, bound: frozenset[str]) -> bool:
    """Whether the name that a chain of selections and indices starts from is bound by no macro."""
    while isinstance(node, Select | IndexOf):
        node = node.operand
    return isinstance(node, Ident) and (node.absolute or node.name not in bound)


def fact_path(node: Node, bound: frozenset[str]) -> str | None:
    """The dotted name that a node reads outside of every macro; None when it is no such name."""
    root = root_of(node)
    return path_of(node) if root is not None and is_free(root, bound) else None


def names_read(node: Node) -> set[str]:
    """The dotted names that a tree reads outside of its macros, and the beginnings of them."""
    found: set[str] = set()

    def look(part: Node, bound: frozenset[str]) -> None:
        path = fact_path(part, bound)
        if path is not None:
            found.add(path)

    rewrite(node, look)
    return found


# ── rewriting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def rewrite(node: Node, change: Change, bound: frozenset[str] = NO_NAMES) -> Node:
    """The tree after `change` was asked of each node, from the root on; what it gives is not looked at again."""
    changed = change(node, bound)
    if changed is not None:
        return changed
    count = _names_bound(node)
    if count == 0 or not isinstance(node, CallOf):
        return rebuilt(node, lambda part: rewrite(part, change, bound))
    names = node.args[:count]
    inner = bound | {each.name for each in names if isinstance(each, Ident)}
    values = 1 if _is_bind(node) else 0  # the value of cel.bind(x, value, body) is outside of its name
    target = None if node.target is None else rewrite(node.target, change, bound)
    outside = tuple(rewrite(arg, change, bound) for arg in node.args[count : count + values])
    inside = tuple(rewrite(arg, change, inner) for arg in node.args[count + values :])
    return replace(node, target=target, args=(*names, *outside, *inside))


def _names_bound(node: Node) -> int:
    """How many names a macro binds, its first arguments; 0 for what is no macro."""
    if not isinstance(node, CallOf) or node.target is None:
        return 0
    if _is_bind(node):
        return 1
    if node.function not in MACROS or len(node.args) < 2:
        return 0
    pair = node.function.startswith("transform") or (node.function in _WITH_TWO and len(node.args) == 3)
    return 2 if pair else 1


def _is_bind(node: CallOf) -> bool:
    return node.function == "bind" and node.target is not None and path_of(node.target) == "cel" and len(node.args) == 3


def rebuilt(node: Node, part: Callable[[Node], Node]) -> Node:
    """The node with other parts."""
    match node:
        case Select() | syntax.Unary():
            return replace(node, operand=part(node.operand))
        case IndexOf():
            return replace(node, operand=part(node.operand), index=part(node.index))
        case CallOf():
            target = None if node.target is None else part(node.target)
            return replace(node, target=target, args=tuple(map(part, node.args)))
        case syntax.ListOf():
            return replace(node, elements=tuple(replace(each, value=part(each.value)) for each in node.elements))
        case syntax.MapOf():
            entries = tuple(replace(each, key=part(each.key), value=part(each.value)) for each in node.entries)
            return replace(node, entries=entries)
        case syntax.Binary():
            return replace(node, left=part(node.left), right=part(node.right))
        case syntax.Junction():
            return replace(node, operands=tuple(map(part, node.operands)))
        case syntax.Choice():
            condition, then = part(node.condition), part(node.then)
            return replace(node, condition=condition, then=then, otherwise=part(node.otherwise))
        case _:
            return node


def placed(node: Node, span: Span, bound: frozenset[str]) -> Node:
    """A tree that takes the place of another one: faults are told there, and no macro around it captures its names."""
    inner = rebuilt(node, lambda part: placed(part, span, bound))
    if isinstance(inner, Ident) and inner.name in bound:
        inner = replace(inner, absolute=True)
    spans: dict[str, Any] = {field.name: span for field in fields(inner) if field.name.endswith("span")}
    return replace(inner, **spans)
