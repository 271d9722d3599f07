"""What && || ! and ?: ask of operands whose type is known only when they run."""

from __future__ import annotations

from typing import Final

from policies.language.functions import Overload
from policies.language.types import BOOL, DYN
from policies.language.values import EvaluationError, Value, kind_of


def as_bool(value: Value) -> bool:
    """`value`, which must be true or false. Raises EvaluationError."""
    if value is True or value is False:
        return bool(value)
    raise EvaluationError(f"a {kind_of(value)} is neither true nor false")


OVERLOADS: Final = (Overload("as_bool", "_?_:_", (DYN,), BOOL, as_bool, fallible=True),)
