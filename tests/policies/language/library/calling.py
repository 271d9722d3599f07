"""Calls overloads by name with plain values, as expressions of unknown types do."""

from __future__ import annotations

from policies.language.functions import dispatch
from policies.language.library import STANDARD
from policies.language.values import EvaluationError, Value, kind_of


def run(name: str, *args: Value, method: bool = False) -> Value:
    """The value of a call of a function, or of a method of the first argument."""
    return dispatch(name, [row for row in STANDARD.by_name[name] if row.method == method and not row.variadic], args)


def method(name: str, *args: Value) -> Value:
    """The value of `args[0].name(…)`."""
    return run(name, *args, method=True)


def error(name: str, *args: Value, method: bool = False) -> str:
    """The message of a call that fails; empty when it does not."""
    try:
        run(name, *args, method=method)
    except EvaluationError as problem:
        return str(problem)
    return ""


def same(value: Value, expected: Value) -> bool:
    """Equal, of one kind, and of one sign where they are zeros; NaN is the same as NaN."""
    return kind_of(value) == kind_of(expected) and repr(value) == repr(expected)
