"""Conditions compiled to tell more than which one holds: what each of their clauses was worth."""

# The conditions come in chunks, so that tracing costs as much as there is to tell, and code stays linear in the rules:
#
#     seen = []
#     c1 = unseen                                # the first clause of a condition is always met, others may not be
#     if (c0 := f0 > 500.0) and (c1 := v0): return (0, [*seen, c0, c1])
#     if (c2 := f1): return (1, [*seen, c0, c1, c2])
#     seen += (c0, c1, c2)
#     …                                          # the next chunk, with the same names
#     return (1000, seen)
#
# Where an operand may fail, lambdas are called, which can bind no name out here: their clauses are noted in a dict.

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from policies.language import running, typed
from policies.language.code import assign, assign_all, call, name_of
from policies.language.compile import Compiler
from policies.language.functions import Registry
from policies.language.library import STANDARD
from policies.language.typed import Typed

Traced = Callable[[Mapping[str, Any]], tuple[int, Sequence[Any]]]
Clauses = tuple[tuple[int, Typed], ...]

UNSEEN: Final = object()
"""Stands in a trace for a clause that was not looked at."""
_CHUNK: Final = 16
"""Clauses in a chunk, at least; CPython keeps tuples of up to 20 at hand."""


def compile_traced(
    rules: Sequence[Typed], variables: Sequence[Typed] = (), functions: Registry = STANDARD
) -> tuple[Traced, Clauses]:
    """As `compile_choice`; gives the position and what the clauses were worth, in their order. Also the clauses.

    The values end where no clause was looked at any more. Before, UNSEEN stands for one that was not looked at, an
    EvaluationError for one that failed and gave way to another. Each clause comes with the position of its rule.
    """
    chunks = list(_chunks(rules))
    numbers = {id(clause): number for chunk in chunks for number, (_, clause) in enumerate(chunk)}
    compiler = Compiler(variables, functions, numbers)
    settled: set[int] = set()
    body = [assign("seen", ast.List([], ast.Load()))]
    for chunk in chunks:
        body += _chunk(compiler, rules, chunk, settled)
    choose = compiler.function([*compiler.loads(rules), *body], [_answer(len(rules), name_of("seen"))])
    return choose, tuple(clause for chunk in chunks for clause in chunk)


def clauses_of(rule: Typed) -> list[Typed]:
    """The parts of a condition that `&&`, `||` and `!` join, from left to right."""
    match rule:
        case typed.Logic():
            return [clause for operand in rule.operands for clause in clauses_of(operand)]
        case typed.Not():
            return clauses_of(rule.operand)
        case _:
            return [rule]


def _chunks(rules: Sequence[Typed]) -> Iterator[Clauses]:
    """The clauses of some rules at a time, each with the position of its rule."""
    chunk: list[tuple[int, Typed]] = []
    for place, rule in enumerate(rules):
        chunk += [(place, clause) for clause in clauses_of(rule)]
        if len(chunk) >= _CHUNK:
            yield tuple(chunk)
            chunk = []
    if chunk:
        yield tuple(chunk)


def _chunk(compiler: Compiler, rules: Sequence[Typed], chunk: Clauses, settled: set[int]) -> list[ast.stmt]:
    """The statements for one chunk; they add its clauses to `seen`, or answer."""
    out: list[ast.stmt] = []
    names = [f"c{number}" for number in range(len(chunk))]
    met = 0
    for place, clauses in groupby(chunk, key=lambda clause: clause[0]):
        first, met = met, met + len(list(clauses))
        condition = compiler.expression(rules[place])
        unbound = names[first + (names[first] in _bound(condition)) : met]
        out += [assign_all(unbound, compiler.closed("unseen", UNSEEN))] if unbound else []
        out += compiler.variables_for(rules[place], settled)
        everything: ast.expr = ast.Starred(name_of("seen"), ast.Load())
        seen = ast.List([everything, ast.Starred(_values(compiler, names[:met]), ast.Load())], ast.Load())
        out.append(ast.If(condition, [_answer(place, seen)], []))
    if compiler.notes_clauses:
        out.insert(0, assign("notes", ast.Dict([], [])))
    return [*out, ast.AugAssign(ast.Name("seen", ast.Store()), ast.Add(), _values(compiler, names))]


def _answer(place: int, seen: ast.expr) -> ast.stmt:
    return ast.Return(ast.Tuple([ast.Constant(place), seen], ast.Load()))


def _values(compiler: Compiler, names: Sequence[str]) -> ast.expr:
    """The values of clauses: those bound to names, and those that were noted."""
    values: ast.expr = ast.Tuple([name_of(name) for name in names], ast.Load())
    return (
        call(compiler.closed("noted", running.with_notes), values, name_of("notes"))
        if compiler.notes_clauses
        else values
    )


def _bound(condition: ast.expr) -> set[str]:
    """The names that an expression binds."""
    return {node.target.id for node in ast.walk(condition) if isinstance(node, ast.NamedExpr)}
