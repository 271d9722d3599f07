"""Which optional inputs are surely there once a condition is known to hold, or to fail: the use of has()."""

from __future__ import annotations

from functools import reduce

from policies.language import typed
from policies.language.typed import Typed

_NOTHING: frozenset[str] = frozenset()


def present_when(node: Typed, *, holds: bool) -> frozenset[str]:
    """Names of the inputs that are present whenever `node` is true (`holds`), or whenever it is false."""
    match node:
        case typed.InputPresent():
            return frozenset({node.source.name}) if holds else _NOTHING
        case typed.Not():
            return present_when(node.operand, holds=not holds)
        case typed.Logic():
            known = [present_when(operand, holds=holds) for operand in node.operands]
            # `a && b` holding tells of both; failing, only what each failure tells. `||` mirrors it.
            return reduce(frozenset.union if node.every is holds else frozenset.intersection, known)
        case _:
            return _NOTHING
