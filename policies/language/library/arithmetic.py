"""The arithmetic operators. Strict where Python is lenient: 64 bits, truncating division, moments within range."""

from __future__ import annotations

import math
from typing import Final

from policies.language.functions import Overload, total
from policies.language.library.bounds import copying, reading
from policies.language.types import BYTES, DOUBLE, DURATION, INT, STRING, TIMESTAMP, UINT, List, Param
from policies.language.values import Duration, EvaluationError, Timestamp, Uint, Value, int64, uint64

NANOSECONDS: Final = 1_000_000_000
MAX_DURATION: Final = 315_576_000_000 * NANOSECONDS
MIN_TIMESTAMP: Final = -62_135_596_800 * NANOSECONDS
MAX_TIMESTAMP: Final = 253_402_300_800 * NANOSECONDS - 1
_MAX_DIFFERENCE: Final = 2**63 - 1


def add_int(a: int, b: int) -> int:
    """CEL int addition."""
    return int64(a + b)


def subtract_int(a: int, b: int) -> int:
    """CEL int subtraction."""
    return int64(a - b)


def multiply_int(a: int, b: int) -> int:
    """CEL int multiplication."""
    return int64(a * b)


def negate_int(a: int) -> int:
    """CEL int negation."""
    return int64(-a)


def divide_int(a: int, b: int) -> int:
    """CEL int division: truncates towards zero."""
    return int64(truncated(a, _divisor(b, "division by zero")))


def modulo_int(a: int, b: int) -> int:
    """CEL int remainder: has the sign of the dividend."""
    return a - b * truncated(a, _divisor(b, "remainder of a division by zero"))


def truncated(a: int, b: int) -> int:
    """a / b without its fraction; b is not 0."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _divisor(b: int, otherwise: str) -> int:
    if b == 0:
        raise EvaluationError(otherwise)
    return b


def add_uint(a: Uint, b: Uint) -> Uint:
    """CEL uint addition."""
    return uint64(a + b)


def subtract_uint(a: Uint, b: Uint) -> Uint:
    """CEL uint subtraction: a result below 0 is an overflow."""
    return uint64(a - b)


def multiply_uint(a: Uint, b: Uint) -> Uint:
    """CEL uint multiplication."""
    return uint64(a * b)


def divide_uint(a: Uint, b: Uint) -> Uint:
    """CEL uint division."""
    return Uint(a // _divisor(b, "division by zero"))


def modulo_uint(a: Uint, b: Uint) -> Uint:
    """CEL uint remainder."""
    return Uint(a % _divisor(b, "remainder of a division by zero"))


def divide_double(a: float, b: float) -> float:
    """IEEE 754 division: x / 0.0 is an infinity, 0.0 / 0.0 is not a number."""
    if b != 0.0:
        return a / b
    if a == 0.0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


# ── texts, lists, moments ───────────────────────────────────────────────────────────────────────────────────────


def join_list(a: list[Value], b: list[Value]) -> list[Value]:
    """Both lists, one after the other."""
    return [*a, *b]


def duration_of(nanoseconds: int) -> Duration:
    """A duration. Raises EvaluationError beyond 315,576,000,000 seconds, about ten thousand years."""
    if -MAX_DURATION <= nanoseconds <= MAX_DURATION:
        return Duration(nanoseconds)
    raise EvaluationError("duration out of range: it is beyond 315,576,000,000 seconds")


def timestamp_of(nanoseconds: int) -> Timestamp:
    """A timestamp from nanoseconds since 1970 in UTC. Raises EvaluationError outside of the years 1 to 9999."""
    if MIN_TIMESTAMP <= nanoseconds <= MAX_TIMESTAMP:
        return Timestamp(nanoseconds)
    raise EvaluationError("timestamp out of range: it is outside of the years 1 to 9999")


def between(a: Timestamp, b: Timestamp) -> Duration:
    """a - b. Raises EvaluationError beyond 64 bits of nanoseconds, about 292 years, where the conformance cases end."""
    if abs(a - b) > _MAX_DIFFERENCE:
        raise EvaluationError("duration out of range: the timestamps are more than 292 years apart")
    return Duration(a - b)


_T: Final = List(Param("T"))

OVERLOADS: Final = (
    Overload("add_int", "_+_", (INT, INT), INT, add_int, fallible=True),
    Overload("add_uint", "_+_", (UINT, UINT), UINT, add_uint, fallible=True),
    Overload("add_double", "_+_", (DOUBLE, DOUBLE), DOUBLE, lambda a, b: a + b),
    Overload("join_string", "_+_", (STRING, STRING), STRING, lambda a, b: a + b, size=total, work=reading),
    Overload("join_bytes", "_+_", (BYTES, BYTES), BYTES, lambda a, b: a + b, size=total, work=reading),
    Overload("join_list", "_+_", (_T, _T), _T, join_list, size=total, work=copying),
    Overload(
        "add_duration", "_+_", (DURATION, DURATION), DURATION, lambda a, b: duration_of(int(a) + b), fallible=True
    ),
    Overload(
        "add_timestamp_duration",
        "_+_",
        (TIMESTAMP, DURATION),
        TIMESTAMP,
        lambda a, b: timestamp_of(int(a) + b),
        fallible=True,
    ),
    Overload(
        "add_duration_timestamp",
        "_+_",
        (DURATION, TIMESTAMP),
        TIMESTAMP,
        lambda a, b: timestamp_of(int(a) + b),
        fallible=True,
    ),
    Overload("subtract_int", "_-_", (INT, INT), INT, subtract_int, fallible=True),
    Overload("subtract_uint", "_-_", (UINT, UINT), UINT, subtract_uint, fallible=True),
    Overload("subtract_double", "_-_", (DOUBLE, DOUBLE), DOUBLE, lambda a, b: a - b),
    Overload(
        "subtract_duration", "_-_", (DURATION, DURATION), DURATION, lambda a, b: duration_of(int(a) - b), fallible=True
    ),
    Overload(
        "subtract_timestamp_duration",
        "_-_",
        (TIMESTAMP, DURATION),
        TIMESTAMP,
        lambda a, b: timestamp_of(int(a) - b),
        fallible=True,
    ),
    Overload("subtract_timestamp", "_-_", (TIMESTAMP, TIMESTAMP), DURATION, between, fallible=True),
    Overload("multiply_int", "_*_", (INT, INT), INT, multiply_int, fallible=True),
    Overload("multiply_uint", "_*_", (UINT, UINT), UINT, multiply_uint, fallible=True),
    Overload("multiply_double", "_*_", (DOUBLE, DOUBLE), DOUBLE, lambda a, b: a * b),
    Overload("divide_int", "_/_", (INT, INT), INT, divide_int, fallible=True),
    Overload("divide_uint", "_/_", (UINT, UINT), UINT, divide_uint, fallible=True),
    Overload("divide_double", "_/_", (DOUBLE, DOUBLE), DOUBLE, divide_double),
    Overload("modulo_int", "_%_", (INT, INT), INT, modulo_int, fallible=True),
    Overload("modulo_uint", "_%_", (UINT, UINT), UINT, modulo_uint, fallible=True),
    Overload("negate_int", "-_", (INT,), INT, negate_int, fallible=True),
    Overload("negate_double", "-_", (DOUBLE,), DOUBLE, lambda a: -a),
)
