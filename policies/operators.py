"""What the operators and functions do when they run. Strict where Python is lenient: 64-bit ints, no negative index."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

from policies.types import INT_MAX, INT_MIN


class EvaluationError(ArithmeticError):
    """An expression has no value for these facts. `decide` turns it into the onError outcome."""


def _in_64_bits(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow: the result is beyond 64 bits")


def add_int(a: int, b: int) -> int:
    """CEL int addition."""
    return _in_64_bits(a + b)


def subtract_int(a: int, b: int) -> int:
    """CEL int subtraction."""
    return _in_64_bits(a - b)


def multiply_int(a: int, b: int) -> int:
    """CEL int multiplication."""
    return _in_64_bits(a * b)


def negate_int(a: int) -> int:
    """CEL int negation."""
    return _in_64_bits(-a)


def divide_int(a: int, b: int) -> int:
    """CEL int division: truncates towards zero."""
    if b == 0:
        raise EvaluationError("division by zero")
    quotient = abs(a) // abs(b)
    return _in_64_bits(quotient if (a < 0) == (b < 0) else -quotient)


def modulo_int(a: int, b: int) -> int:
    """CEL int remainder: has the sign of the dividend."""
    if b == 0:
        raise EvaluationError("remainder of a division by zero")
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def divide_double(a: float, b: float) -> float:
    """IEEE 754 division: x / 0.0 is an infinity, 0.0 / 0.0 is not a number."""
    if b != 0.0:
        return a / b
    if a == 0.0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def at_index(items: list[Any], index: int) -> Any:
    """`items[index]`; an index outside the list is an error."""
    if 0 <= index < len(items):
        return items[index]
    raise EvaluationError(f"index {index} is outside a list of {len(items)}")


def at_key(entries: Mapping[str, Any], key: str) -> Any:
    """`entries[key]`; a missing key is an error."""
    if key in entries:
        return entries[key]
    raise EvaluationError(f"the map has no key {key!r}")


def contains_element(element: Any, items: Iterable[Any]) -> bool:
    """`element in items` by equality alone: NaN is in no list."""
    return any(element == item for item in items)


def bucket(key: str, salt: str) -> float:
    """The place of `key` on a scale of 0 to 100 percent, in steps of 0.00001; the same on every tier and for ever.

    The first 64 bits of SHA-256 over length-prefixed parts, scaled by integers. An empty key is in no bucket: 100.0.
    """
    if not key:
        return 100.0
    parts = "".join(f"{len(part)}:{part}" for part in ("edgewise/bucket/v1", salt, key))
    digest = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).digest()
    return ((int.from_bytes(digest[:8], "big") * 10_000_000) >> 64) / 100_000


def lower_ascii(text: str) -> str:
    """Latin capitals A–Z made small; all other characters stay (CEL's lowerAscii)."""
    return text.translate(_LOWER)


_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class Function:
    """A function that typed trees may apply. `fallible`: may raise EvaluationError."""

    run: Callable[..., Any]
    fallible: bool = False


FUNCTIONS: Final[dict[str, Function]] = {
    "add_int": Function(add_int, fallible=True),
    "subtract_int": Function(subtract_int, fallible=True),
    "multiply_int": Function(multiply_int, fallible=True),
    "divide_int": Function(divide_int, fallible=True),
    "modulo_int": Function(modulo_int, fallible=True),
    "negate_int": Function(negate_int, fallible=True),
    "add_double": Function(lambda a, b: a + b),
    "subtract_double": Function(lambda a, b: a - b),
    "multiply_double": Function(lambda a, b: a * b),
    "divide_double": Function(divide_double),
    "negate_double": Function(lambda a: -a),
    "join_string": Function(lambda a, b: a + b),
    "join_list": Function(lambda a, b: [*a, *b]),
    "at_index": Function(at_index, fallible=True),
    "at_key": Function(at_key, fallible=True),
    "contains_element": Function(contains_element),
    "contains_key": Function(lambda key, entries: key in entries),
    "size": Function(len),
    "starts_with": Function(str.startswith),
    "ends_with": Function(str.endswith),
    "contains_text": Function(lambda text, part: part in text),
    "lower": Function(lower_ascii),
    "bucket": Function(bucket),
    "to_double": Function(float),
}


def attempt(thunk: Callable[[], Any]) -> Callable[[], Any]:
    """Run `thunk` once, now; the result gives its value, or raises its error, as often as it is asked."""
    try:
        value = thunk()
    except EvaluationError as error:
        failure = error
        return lambda: _throw(failure)
    return lambda: value


def _throw(error: EvaluationError) -> NoReturn:
    raise error


def every_of(*thunks: Callable[[], bool]) -> bool:
    """CEL `&&`: false as soon as one is false, even beside an error; then the first error; else true."""
    return _settle(thunks, settled=False)


def some_of(*thunks: Callable[[], bool]) -> bool:
    """CEL `||`: true as soon as one is true, even beside an error; then the first error; else false."""
    return _settle(thunks, settled=True)


def every_in(items: Iterable[Any], body: Callable[[Any], bool]) -> bool:
    """CEL `all`: `every_of` the body on each item."""
    return _settle((partial(body, item) for item in items), settled=False)


def some_in(items: Iterable[Any], body: Callable[[Any], bool]) -> bool:
    """CEL `exists`: `some_of` the body on each item."""
    return _settle((partial(body, item) for item in items), settled=True)


def _settle(thunks: Iterable[Callable[[], bool]], *, settled: bool) -> bool:
    first: EvaluationError | None = None
    for thunk in thunks:
        try:
            if thunk() is settled:
                return settled
        except EvaluationError as error:
            first = first or error
    if first is not None:
        raise first
    return not settled
