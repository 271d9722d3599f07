"""Conversions between types, by the name of the type. What the other type cannot hold is an error."""

from __future__ import annotations

import math
import re
from typing import Final

from policies.language.functions import Overload, first, up_to
from policies.language.library.arithmetic import NANOSECONDS, timestamp_of
from policies.language.library.bounds import NUMBER, reading, times
from policies.language.library.notation import (
    duration_text,
    read_duration,
    read_timestamp,
    short_double,
    timestamp_text,
)
from policies.language.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    VERSION,
    Param,
    Type,
)
from policies.language.values import EvaluationError, Timestamp, TypeName, Uint, Value, int64, kind_of, uint64

_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_WHOLE: Final = re.compile(r"[+-]?0*([0-9]{1,20})")
_UNSIGNED: Final = re.compile(r"0*([0-9]{1,20})")
_DECIMAL: Final = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity)|nan", re.IGNORECASE
)
_NAMES: Final = {
    "null": "null_type",
    "duration": "google.protobuf.Duration",
    "timestamp": "google.protobuf.Timestamp",
    "optional": "optional_type",
}


def to_bool(text: str) -> bool:
    """true, True, TRUE, t, T, 1 and their contraries. Raises EvaluationError for other texts."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise EvaluationError("this text is neither true nor false")


def int_of_double(value: float) -> int:
    """Without its fraction. Raises EvaluationError where the int, or its neighbour at the border, would not fit."""
    if -(2.0**63) < value < 2.0**63:
        return int(value)
    raise EvaluationError("int out of range: the double is beyond 64 bits")


def int_of_string(text: str) -> int:
    """A whole number in decimal digits. Raises EvaluationError for other texts and beyond 64 bits."""
    found = _WHOLE.fullmatch(text)
    if found is None:
        raise EvaluationError("this text is no whole number of 64 bits")
    return int64(-int(found[1]) if text[0] == "-" else int(found[1]))


def uint_of_double(value: float) -> Uint:
    """Without its fraction. Raises EvaluationError for what is negative or beyond 64 bits."""
    if 0.0 <= value < 2.0**64:
        return Uint(value)
    raise EvaluationError("uint out of range: the double is negative or beyond 64 bits")


def uint_of_string(text: str) -> Uint:
    """Decimal digits without a sign. Raises EvaluationError for other texts and beyond 64 bits."""
    found = _UNSIGNED.fullmatch(text)
    if found is None:
        raise EvaluationError("this text is no unsigned whole number of 64 bits")
    return uint64(int(found[1]))


def double_of_string(text: str) -> float:
    """A decimal number, Infinity or NaN. Raises EvaluationError for other texts and for numbers beyond all doubles."""
    if not _DECIMAL.fullmatch(text):
        raise EvaluationError("this text is no number")
    value = float(text)
    if math.isinf(value) and text[-1] not in "fFyY":
        raise EvaluationError("double out of range: the number is too large")
    return value


def string_of_bytes(data: bytes) -> str:
    """The text of UTF-8. Raises EvaluationError for other bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8: these bytes are no text") from None


def bytes_of_string(text: str) -> bytes:
    """UTF-8; a lone surrogate, which JSON can carry, keeps its three bytes, so that no text fails."""
    return text.encode("utf-8", "surrogatepass")


def type_of(value: Value) -> TypeName:
    """The type of a value, by CEL's name for it."""
    kind = kind_of(value)
    return TypeName(_NAMES.get(kind, kind))


def _timestamp_of_int(seconds: int) -> Timestamp:
    return timestamp_of(seconds * NANOSECONDS)


def _same(value: Value) -> Value:
    return value


def _identity(type_: Type) -> Overload:
    return Overload(f"same_{type_}", str(type_), (type_,), type_, _same, size=first)


_SHORT: Final = up_to(NUMBER)
_T: Final = Param("T")

OVERLOADS: Final = (
    *map(_identity, (BOOL, INT, UINT, DOUBLE, STRING, BYTES, DURATION, TIMESTAMP)),
    Overload("to_bool", "bool", (STRING,), BOOL, to_bool, fallible=True),
    Overload("to_int_uint", "int", (UINT,), INT, int64, fallible=True),
    Overload("to_int_double", "int", (DOUBLE,), INT, int_of_double, fallible=True),
    Overload("to_int_string", "int", (STRING,), INT, int_of_string, fallible=True, work=reading),
    Overload("to_int_timestamp", "int", (TIMESTAMP,), INT, lambda moment: int(moment) // NANOSECONDS),
    Overload("to_uint_int", "uint", (INT,), UINT, uint64, fallible=True),
    Overload("to_uint_double", "uint", (DOUBLE,), UINT, uint_of_double, fallible=True),
    Overload("to_uint_string", "uint", (STRING,), UINT, uint_of_string, fallible=True, work=reading),
    Overload("to_double", "double", (INT,), DOUBLE, float),
    Overload("to_double_uint", "double", (UINT,), DOUBLE, float),
    Overload("to_double_string", "double", (STRING,), DOUBLE, double_of_string, fallible=True, work=reading),
    Overload("to_string_bool", "string", (BOOL,), STRING, lambda value: "true" if value else "false", size=_SHORT),
    Overload("to_string_int", "string", (INT,), STRING, str, size=_SHORT),
    Overload("to_string_uint", "string", (UINT,), STRING, str, size=_SHORT),
    Overload("to_string_double", "string", (DOUBLE,), STRING, short_double, size=_SHORT),
    Overload("to_string_bytes", "string", (BYTES,), STRING, string_of_bytes, fallible=True, size=first, work=reading),
    Overload("to_string_duration", "string", (DURATION,), STRING, duration_text, size=_SHORT),
    Overload("to_string_timestamp", "string", (TIMESTAMP,), STRING, timestamp_text, size=_SHORT),
    Overload("to_string_version", "string", (VERSION,), STRING, str, size=up_to(256)),
    Overload("to_bytes", "bytes", (STRING,), BYTES, bytes_of_string, size=times(4), work=reading),
    Overload("to_duration", "duration", (STRING,), DURATION, read_duration, fallible=True, work=reading),
    Overload("to_timestamp", "timestamp", (STRING,), TIMESTAMP, read_timestamp, fallible=True, work=reading),
    Overload("to_timestamp_int", "timestamp", (INT,), TIMESTAMP, _timestamp_of_int, fallible=True),
    Overload("dyn", "dyn", (_T,), DYN, _same, size=first),
    Overload("type", "type", (_T,), TYPE, type_of),
)
