"""What an expression may read from outside: declared inputs, and the judge of the values that callers hand in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.language.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    INT_MAX,
    INT_MIN,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    UINT_MAX,
    Enum,
    List,
    Map,
    Type,
)
from policies.language.values import Duration, EvaluationError, Timestamp, Uint, Value

MAX_STRING: Final = 4096
MAX_ITEMS: Final = 64


class InputError(EvaluationError):
    """An input has a wrong type, is out of range, or is missing although it is required."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One input.

    optional: may be absent. default: stands in when absent; None with `optional=False`: required.
    example: a usual value, for what error messages suggest.
    """

    name: str
    type: Type
    optional: bool = False
    default: Any = None
    example: Any = None

    def __hash__(self) -> int:
        return hash(self.name)


def read_input(inputs: Mapping[str, Any], declared: Declaration) -> Value:
    """The value of one input; None when it is absent and optional. Raises InputError."""
    return accept(declared, inputs.get(declared.name))


def judge(inputs: Mapping[str, Any], needed: Iterable[Declaration]) -> dict[str, Value]:
    """All inputs that are needed, as values; absent ones are None. Raises InputError."""
    return {declared.name: read_input(inputs, declared) for declared in needed}


def accept(declared: Declaration, raw: Any) -> Value:
    """`raw` as a value of `declared`; an absent one (None) becomes the default. Raises InputError."""
    if declared.type in (DYN, NULL) and (declared.type == DYN or raw is None):
        return raw
    if raw is None:
        if not declared.optional and declared.default is None:
            raise InputError(f"the fact {declared.name} is required and missing")
        return declared.default
    value = value_of(declared.type, raw)
    if value is None:
        raise InputError(f"the fact {declared.name} should be {wanted(declared.type)}, and is {_shown(raw)}")
    return value


def value_of(type_: Type, raw: Any) -> Value:
    """`raw` as a value of a type, or None when it is none. A whole number is welcome as a double."""
    match type_:
        case Enum():
            return str(raw) if isinstance(raw, str) and raw in type_.values else None
        case List():
            return _list(type_, raw)
        case Map():
            return _map(type_, raw)
    return _simple(type_, raw)


def _simple(type_: Type, raw: Any) -> Value:
    proper = type(raw)
    if type_ == BOOL:
        return raw if proper is bool else None
    if type_ == INT:
        return raw if proper is int and INT_MIN <= raw <= INT_MAX else None
    if type_ == UINT:
        return Uint(raw) if proper in (int, Uint) and 0 <= raw <= UINT_MAX else None
    if type_ == DOUBLE:
        return _double(raw)
    if type_ == STRING:
        return raw if proper is str and len(raw) <= MAX_STRING else None
    if type_ == BYTES:
        return raw if proper is bytes and len(raw) <= MAX_STRING else None
    if type_ in (DURATION, TIMESTAMP):
        return raw if proper is (Duration if type_ == DURATION else Timestamp) else None
    return None


def _double(raw: Any) -> float | None:
    if type(raw) is int and INT_MIN <= raw <= INT_MAX:
        return float(raw)
    return raw if type(raw) is float and math.isfinite(raw) else None


def _list(type_: List, raw: Any) -> list[Value] | None:
    if type(raw) not in (list, tuple) or len(raw) > MAX_ITEMS:
        return None
    items = [value_of(type_.element, item) for item in raw]
    return None if any(item is None for item in items) else items


def _map(type_: Map, raw: Any) -> dict[str, Value] | None:
    if type(raw) is not dict or len(raw) > MAX_ITEMS or type_.key != STRING:
        return None
    entries = {key: value_of(type_.value, value) for key, value in raw.items()}
    fine = all(value is not None and type(key) is str and len(key) <= MAX_STRING for key, value in entries.items())
    return entries if fine else None


def wanted(type_: Type) -> str:
    """What a value of this type must be, in a person's words."""
    match type_:
        case Enum():
            return "one of " + ", ".join(repr(word) for word in type_.values)
        case List():
            return f"a list of at most {MAX_ITEMS}, each {wanted(type_.element)}"
        case Map():
            return f"a map of at most {MAX_ITEMS} texts to {wanted(type_.value)}"
    return _WANTED.get(str(type_), f"a {type_}")


_WANTED: Final = {
    "double": "a finite number",
    "int": "a whole number of 64 bits",
    "uint": "a whole number from 0 of 64 bits",
    "string": f"a string of at most {MAX_STRING} characters",
    "bytes": f"at most {MAX_STRING} bytes",
    "bool": "true or false",
}


def _shown(raw: Any) -> str:
    """The raw value for an error message; the text of strings is not shown, it may be anything."""
    if isinstance(raw, str):
        return f"a string of {len(raw)} characters"
    if isinstance(raw, bool | float):
        return repr(raw)
    return "a number too large" if isinstance(raw, int) and abs(raw) > INT_MAX else f"of type {type(raw).__name__}"
