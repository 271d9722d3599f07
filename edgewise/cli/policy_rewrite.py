"""A policy document's text with its expressions in canonical form, and nothing else changed. Pure; no files here.

An expression keeps its YAML style where that can hold it: plain text may turn into quoted text, and double quotes into
single ones around strings. In a block the operands of a long condition get a line each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from policies.document import Document, Expression
from policies.language import syntax
from policies.language.lexer import tokenize
from policies.language.parser import parse
from policies.language.syntax import Node
from policies.language.unparse import unparse
from policies.modes import SUPPORTED_MODES
from policies.read import read_document
from policies.source import Located, Scalar, SourceError, plain, read_source

LINE_WIDTH = 120

_BLOCK = re.compile(r"(?P<header>[|>][-+]?[ \t]*(?:#[^\r\n]*)?)(?P<end>\r\n|\n)(?P<indent> *)(?P<body>.*)", re.DOTALL)


@dataclass(frozen=True)
class LeftAlone:
    """An expression that was not touched, and why; line and column from 1."""

    line: int
    column: int
    reason: str


@dataclass(frozen=True)
class Rewritten:
    """The whole text. changed: how many expressions are written in another way now."""

    text: str
    changed: int
    left_alone: tuple[LeftAlone, ...]


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def rewrite(text: str, *, width: int = LINE_WIDTH) -> Rewritten:
    """The document in canonical form, to which it is equal. `text` is a policy that `Policy.load` accepts."""
    document = _document(text)
    edits: list[_Edit] = []
    left: list[LeftAlone] = []
    for expression in _expressions(document):
        found = _rewritten(text, expression, width)
        if isinstance(found, LeftAlone):
            left.append(found)
        elif found.text != text[found.start : found.end]:
            edits.append(found)
    out = _applied(text, edits)
    if edits and not _same(document, out):  # a YAML style that nobody thought of: better nothing than another policy
        return Rewritten(text, 0, (*left, LeftAlone(1, 1, "rewritten, it would read otherwise")))
    return Rewritten(out, len(edits), tuple(left))


def _document(text: str) -> Document:
    return read_document(read_source(text), SUPPORTED_MODES)[0]


def _expressions(document: Document) -> Iterator[Expression]:
    yield from (variable.expression for variable in document.variables)
    yield from (invariant.expression for invariant in document.invariants)
    yield from (rule.when for rule in document.rules)


def _applied(text: str, edits: Sequence[_Edit]) -> str:
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda each: each.start):
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def _same(document: Document, text: str) -> bool:
    """Whether the text holds this document, its expressions aside from their spelling."""
    try:
        again = _document(text)
    except SourceError:
        return False
    before, after = ([parse(each.text)[0] for each in _expressions(one)] for one in (document, again))
    return list(map(unparse, before)) == list(map(unparse, after)) and _bare(document.data) == _bare(again.data)


def _bare(data: Any) -> Any:
    """The data without what is an expression."""
    spec = dict(data["spec"])
    rules = [{**rule, "when": None} for rule in spec.get("rules") or ()]
    variables = [{**variable, "expr": None} for variable in spec.get("variables") or ()]
    invariants = [{**each, **dict.fromkeys({"never", "always"} & set(each))} for each in spec.get("invariants") or ()]
    return {**data, "spec": {**spec, "rules": rules, "variables": variables, "invariants": invariants}}


# ── one expression ──────────────────────────────────────────────────────────────────────────────────────────────────


def _rewritten(text: str, expression: Expression, width: int) -> _Edit | LeftAlone:
    where = expression.where
    node, faults = parse(expression.text)
    reason = "it holds a comment" if _has_comment(expression.text) else "it has faults" if faults else ""
    written = None if reason else _written(text, where, node, width)
    if written is None:
        return LeftAlone(where.line, where.column, reason or "its YAML style cannot hold it")
    return written


def _has_comment(text: str) -> bool:
    """Between two tokens there is white space, or a comment."""
    at = 0
    for token in tokenize(text)[0]:
        if "//" in text[at : token.span.start]:
            return True
        at = token.span.end
    return False


def _written(text: str, where: Scalar, node: Node, width: int) -> _Edit | None:
    source = text[where.start : where.end]
    if source[:1] in ("|", ">"):
        body = _block(source, node, width)
        return None if body is None else _Edit(where.start, where.start + body[0], body[1])
    return _Edit(where.start, where.end, _inline(source, unparse(node), json_only=text.lstrip().startswith("{")))


def _inline(source: str, expression: str, *, json_only: bool) -> str:
    """One line in the style of `source`, else in quotes."""
    style = source[:1]
    if style not in ("'", '"') and _is_plain(source, expression):
        return expression
    if json_only or (style == '"' and '"' not in expression):
        return json.dumps(expression, ensure_ascii=False)
    return "'" + expression.replace("'", "''") + "'"


def _is_plain(source: str, expression: str) -> bool:
    """Whether it may stand without quotes where `source` stands: in a flow, unless `source` itself could not."""
    return _reads_as(f"{{k: {expression}}}", expression) or (
        _reads_as(f"k: {expression}", expression) and not _reads_as(f"{{k: {source}}}", _plain_value(source))
    )


def _plain_value(source: str) -> str:
    """A plain scalar's value: lines are joined by spaces."""
    return " ".join(source.split())


def _reads_as(yaml: str, expected: str) -> bool:
    try:
        found: Located = read_source(yaml)
    except SourceError:
        return False
    return bool(plain(found) == {"k": expected})


def _block(source: str, node: Node, width: int) -> tuple[int, str] | None:
    """How much of the block is replaced, and by what: its header stays, and what comes after its last sign."""
    whole = source.rstrip()
    found = _BLOCK.fullmatch(whole)
    if found is None or not found["body"].strip():
        return None
    indent = found["indent"]
    lines = _lines(node, width - len(indent))
    return len(whole), found["header"] + found["end"] + found["end"].join(indent + line for line in lines)


def _lines(node: Node, width: int) -> list[str]:
    """One line, or, where that is too long, one for each operand of the outermost `&&` or `||`."""
    line = unparse(node)
    if len(line) <= width or not isinstance(node, syntax.Junction):
        return [line]
    *heads, last = (_operand(node, operand) for operand in node.operands)
    return [*(f"{head} {node.operator}" for head in heads), last]


def _operand(junction: syntax.Junction, operand: Node) -> str:
    """As `unparse` puts it beside the operator: in brackets where it binds less."""
    looser = isinstance(operand, syntax.Choice) or (
        isinstance(operand, syntax.Junction) and (junction.operator == "&&" or operand.operator == junction.operator)
    )
    return f"({unparse(operand)})" if looser else unparse(operand)
