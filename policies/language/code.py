"""Short forms of the `ast` nodes that the compiler builds."""

from __future__ import annotations

import ast
from collections.abc import Sequence


def name_of(name: str) -> ast.expr:
    """A name that is read."""
    return ast.Name(name, ast.Load())


def assign(name: str, value: ast.expr) -> ast.stmt:
    """`name = value`."""
    return ast.Assign([ast.Name(name, ast.Store())], value)


def assign_all(names: Sequence[str], value: ast.expr) -> ast.stmt:
    """`a = b = … = value`."""
    return ast.Assign([ast.Name(name, ast.Store()) for name in names], value)


def call(function: ast.expr, *args: ast.expr) -> ast.expr:
    """`function(args)`."""
    return ast.Call(function, list(args), [])


def lambda_of(body: ast.expr, *names: str) -> ast.expr:
    """`lambda names: body`."""
    args = [ast.arg(name) for name in names]
    return ast.Lambda(ast.arguments([], args, None, [], [], None, []), body)


def negated(node: ast.expr) -> ast.expr:
    """`not node`."""
    return ast.UnaryOp(ast.Not(), node)


def class_of(value: ast.expr) -> ast.expr:
    """`value.__class__`."""
    return ast.Attribute(value, "__class__", ast.Load())
