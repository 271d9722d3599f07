"""Constants of a tree as plain data, back to values: each must be one that its type allows. Raises BundleError."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from policies.bundle.errors import BundleError, Refusal
from policies.bundle.trees import type_text
from policies.facts import INPUTS
from policies.language.declarations import value_of
from policies.language.types import DURATION, INT_MAX, INT_MIN, TIMESTAMP, UINT_MAX, Type
from policies.language.values import Duration, Timestamp, TypeName, Uint, Value

_PARAM_TYPES: Final[Mapping[str, Type]] = {
    type_text(type_): type_ for type_ in (*(source.type for source in INPUTS.values()), DURATION, TIMESTAMP)
}
"""What a param may be beside what a literal may be: enums and moments. A list of texts is a list of literals."""


def literal_value(type_: str, raw: Any) -> Value:
    """The value of a constant that a literal may have."""
    read = _LITERALS[type_]
    value = read(raw)
    if value is _NONE:
        raise BundleError(Refusal.TREE, f"a constant is no {type_}")
    return value


def is_literal(type_: str) -> bool:
    """Whether a literal of this type can be written, a type's name being one."""
    return type_ in _LITERALS


def param_value(type_: str, raw: Any) -> tuple[Type, Value]:
    """The type and the value of a constant that only a param may have."""
    declared = _PARAM_TYPES.get(type_)
    if declared is None:
        raise BundleError(Refusal.TREE, "a constant has a type that no param has")
    moment = _MOMENTS.get(declared)
    value = value_of(declared, moment(raw) if moment is not None and _is_int64(raw) else raw)
    if value is None:
        raise BundleError(Refusal.TREE, f"a constant is no {type_}")
    return declared, value


_NONE: Final = object()
_MOMENTS: Final[Mapping[Type, Callable[[int], Value]]] = {DURATION: Duration, TIMESTAMP: Timestamp}


def _is_int64(raw: Any) -> bool:
    return type(raw) is int and INT_MIN <= raw <= INT_MAX


def _uint(raw: Any) -> Value:
    return Uint(raw) if type(raw) is int and 0 <= raw <= UINT_MAX else _NONE


def _text(raw: Any) -> Value:
    """A text; half a character is none."""
    if type(raw) is not str or any("\ud800" <= sign <= "\udfff" for sign in raw):
        return _NONE
    return raw


def _bytes(raw: Any) -> Value:
    try:
        return base64.b64decode(raw, validate=True) if type(raw) is str else _NONE
    except (binascii.Error, ValueError):
        return _NONE


_LITERALS: Final[Mapping[str, Callable[[Any], Value]]] = {
    "null": lambda raw: None if raw is None else _NONE,
    "bool": lambda raw: raw if type(raw) is bool else _NONE,
    "int": lambda raw: raw if _is_int64(raw) else _NONE,
    "uint": _uint,
    "double": lambda raw: raw if type(raw) is float and math.isfinite(raw) else _NONE,
    "string": _text,
    "bytes": _bytes,
    "type": lambda raw: TypeName(raw) if type(raw) is str else _NONE,
}
