"""Warnings of a sound policy: what is there and never used, and what can never be reached. Nothing here refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from policies.build import Trees
from policies.document import Document
from policies.language import typed
from policies.language.typed import Const, Typed
from policies.problems import Problem

_PARAM: Final = re.compile(r"params\s*\.\s*`?([A-Za-z_][A-Za-z0-9_]*)")
"""A name in a text or a comment counts as used, too: a warning less does no harm."""


def warnings_of(document: Document, trees: Trees) -> tuple[Problem, ...]:
    """All warnings, in the order of the text; those that reading the document gave are among them."""
    found = [*document.warnings, *_params(document), *_variables(document, trees), *_rules(document, trees)]
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))


def _params(document: Document) -> Iterator[Problem]:
    expressions = [variable.expression for variable in document.variables]
    expressions += [invariant.expression for invariant in document.invariants]
    expressions += [rule.when for rule in document.rules]
    used = {name for expression in expressions for name in _PARAM.findall(expression.text)}
    for param in document.params:
        if param.name not in used:
            yield _warning("unused", f"no expression reads params.{param.name}", param.line, param.column)


def _variables(document: Document, trees: Trees) -> Iterator[Problem]:
    used = _used_variables(trees)
    for index, variable in enumerate(document.variables):
        if index not in used:
            where = variable.expression.where
            yield _warning("unused", f"no rule needs variables.{variable.name}", where.line, where.column)


def _used_variables(trees: Trees) -> set[int]:
    """Positions of the variables that a rule or an invariant needs, directly or through others."""
    roots: list[Typed] = [*trees.rules, *(invariant.violated for invariant in trees.invariants)]
    used = set().union(*map(typed.variables_read, roots))
    for index in range(len(trees.variables) - 1, -1, -1):  # each reads earlier ones only
        if index in used:
            used |= typed.variables_read(trees.variables[index])
    return used


def _rules(document: Document, trees: Trees) -> Iterator[Problem]:
    """One warning for all rules behind the first that always holds."""
    for tree, rule, after in zip(trees.rules, document.rules, document.rules[1:], strict=False):
        if isinstance(tree, Const) and tree.value is True:
            others = "" if after is document.rules[-1] else ", nor is what follows it"
            message = f"{after.id} is never reached{others}: {rule.id} always holds"
            yield _warning("never-reached", message, after.line, after.column, after.id)
            return


def _warning(code: str, message: str, line: int, column: int, rule_id: str = "") -> Problem:
    return Problem(code, message, line, column, rule_id, severity="warning")
