"""A syntax tree as canonical text on one line, with the fewest parentheses: what `edgewise policy fmt` writes.

Reading the text gives the same tree, spans aside. Comments are not in the tree, so that they are lost here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from policies.language import syntax
from policies.language.parser import KEYWORDS, RANKS
from policies.language.syntax import Node
from policies.language.values import Uint

_CHOICE: Final = 0
_UNARY: Final = max(RANKS.values()) + 1
_POSTFIX: Final = _UNARY + 1
_ATOM: Final = _POSTFIX + 1

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIELD: Final = re.compile(r"[A-Za-z0-9_./ -]+")
_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}


def unparse(node: Node) -> str:
    """The text of a tree without faults. Raises ValueError for a tree that no text has, such as one with `Faulty`."""
    return _text(node, _CHOICE)


def _text(node: Node, loosest: int) -> str:
    """`node` where operators from the rank `loosest` on may stand bare."""
    rank, text = _ranked(node)
    return text if rank >= loosest else f"({text})"


def _ranked(node: Node) -> tuple[int, str]:
    """How tightly the outermost operator of `node` binds, and its bare text."""
    match node:
        case syntax.Choice():
            return _CHOICE, _choice(node)
        case syntax.Junction():
            rank = RANKS[node.operator]
            return rank, f" {node.operator} ".join(_text(operand, rank + 1) for operand in node.operands)
        case syntax.Binary():
            rank = RANKS[node.operator]
            return rank, f"{_text(node.left, rank)} {node.operator} {_text(node.right, rank + 1)}"
        case syntax.Unary():
            return _UNARY, node.operator + _operand(node)
        case syntax.Literal():
            return _ATOM, _literal(node.value)
        case syntax.Ident():
            return _ATOM, f".{node.name}" if node.absolute else node.name
        case syntax.ListOf():
            return _ATOM, f"[{', '.join(map(_element, node.elements))}]"
        case syntax.MapOf():
            return _ATOM, f"{{{', '.join(map(_entry, node.entries))}}}"
        case _:
            return _POSTFIX, _postfix(node)


def _choice(node: syntax.Choice) -> str:
    condition, then = _text(node.condition, _CHOICE + 1), _text(node.then, _CHOICE + 1)
    return f"{condition} ? {then} : {_text(node.otherwise, _CHOICE)}"


def _operand(node: syntax.Unary) -> str:
    """What a sign stands before. A minus would become part of a number; signs of two kinds in a row are no CEL."""
    operand = node.operand
    bare = _text(operand, _UNARY)
    mixed = isinstance(operand, syntax.Unary) and operand.operator != node.operator
    swallowed = node.operator == "-" and (bare[0].isdigit() and not _starts_with_uint(operand))
    return f"({bare})" if mixed or swallowed else bare


def _starts_with_uint(node: Node) -> bool:
    while isinstance(node, syntax.Select | syntax.IndexOf | syntax.CallOf):
        target = node.target if isinstance(node, syntax.CallOf) else node.operand
        if target is None:
            return False
        node = target
    return isinstance(node, syntax.Literal) and isinstance(node.value, Uint)


def _postfix(node: Node) -> str:
    match node:
        case syntax.Select():
            return f"{_text(node.operand, _POSTFIX)}.{'?' * node.optional}{_field(node.field)}"
        case syntax.IndexOf():
            return f"{_text(node.operand, _POSTFIX)}[{'?' * node.optional}{unparse(node.index)}]"
        case syntax.CallOf():
            target = "" if node.target is None else f"{_text(node.target, _POSTFIX)}."
            return f"{target}{node.function}({', '.join(map(unparse, node.args))})"
        case _:
            raise ValueError("what could not be parsed has no text")


def _element(element: syntax.Element) -> str:
    return "?" * element.optional + unparse(element.value)


def _entry(entry: syntax.Entry) -> str:
    return f"{'?' * entry.optional}{unparse(entry.key)}: {unparse(entry.value)}"


def _field(field: str) -> str:
    if _NAME.fullmatch(field) and field not in KEYWORDS:
        return field
    if not _FIELD.fullmatch(field):
        raise ValueError(f"{field!r} can be no field")
    return f"`{field}`"


# ── literals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _literal(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Uint():
            return f"{int(value)}u"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case str():
            return _quoted(value, _shown_character)
        case bytes():
            return "b" + _quoted(value.decode("latin-1"), _shown_byte)
    raise ValueError(f"{value!r} has no literal")


def _quoted(text: str, shown: Callable[[str], str]) -> str:
    """`text` in double quotes, unless they would need escapes: then in single ones. Backslashes alone make it raw."""
    quote = "'" if '"' in text and "'" not in text else '"'
    if "\\" in text and quote not in text and all(shown(sign) == sign for sign in text if sign != "\\"):
        return f"r{quote}{text}{quote}"
    return quote + "".join("\\" + sign if sign == quote else shown(sign) for sign in text) + quote


def _shown_character(sign: str) -> str:
    """A character as it stands in a string; what nobody would see (controls, joiners, text direction) as an escape."""
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    if sign.isprintable():
        return sign
    code = ord(sign)
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"{sign!r} is no character")
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shown_byte(sign: str) -> str:
    return _ESCAPES.get(sign, sign if " " <= sign <= "~" else f"\\x{ord(sign):02x}")
