"""A raw fact to a checked value: the one place that judges what callers hand to `decide`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from policies.facts import FactSpec, FactType, FactValue
from policies.operators import EvaluationError
from policies.types import INT_MAX, INT_MIN

MAX_STRING: Final = 4096


class FactError(EvaluationError):
    """A fact has a wrong type, is out of range, or is missing although it is required."""


def read_fact(facts: Mapping[str, Any], spec: FactSpec) -> FactValue | None:
    """The value of one fact; None when it is absent and optional. Raises FactError."""
    return accept(spec, facts.get(spec.name))


def accept(spec: FactSpec, raw: Any) -> FactValue | None:
    """`raw` as a value of `spec`; an absent one (None) becomes the default. Raises FactError."""
    if raw is None:
        if spec.required:
            raise FactError(f"the fact {spec.name} is required and missing")
        return spec.default
    value = _typed(spec, raw)
    if value is None:
        raise FactError(f"the fact {spec.name} should be {_wanted(spec)}, and is {_shown(raw)}")
    return value


def _typed(spec: FactSpec, raw: Any) -> FactValue | None:
    """`raw` as the fact's type, or None when it is no such value. A whole number is welcome as a double."""
    match spec.type:
        case FactType.BOOL:
            return raw if raw is True or raw is False else None
        case FactType.INT:
            return raw if type(raw) is int and INT_MIN <= raw <= INT_MAX else None
        case FactType.DOUBLE:
            return _double(raw)
        case FactType.STRING:
            return raw if type(raw) is str and len(raw) <= MAX_STRING else None
        case FactType.ENUM:
            return str(raw) if isinstance(raw, str) and raw in spec.enum else None


def _double(raw: Any) -> float | None:
    if type(raw) is int and INT_MIN <= raw <= INT_MAX:
        return float(raw)
    return raw if type(raw) is float and math.isfinite(raw) else None


def _wanted(spec: FactSpec) -> str:
    match spec.type:
        case FactType.ENUM:
            return "one of " + ", ".join(repr(word) for word in spec.enum)
        case FactType.DOUBLE:
            return "a finite number"
        case FactType.INT:
            return "a whole number of 64 bits"
        case FactType.STRING:
            return f"a string of at most {MAX_STRING} characters"
        case FactType.BOOL:
            return "true or false"


def _shown(raw: Any) -> str:
    """The raw value for an error message; the text of strings is not shown, it may be anything."""
    if isinstance(raw, str):
        return f"a string of {len(raw)} characters"
    if isinstance(raw, bool | float):
        return repr(raw)
    return "a number too large" if isinstance(raw, int) and abs(raw) > INT_MAX else f"of type {type(raw).__name__}"
