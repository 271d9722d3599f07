"""What expressions are worth when they run, and the rules all values share: kinds, equality, order, map keys.

null is None; bool, int, double, string, bytes and list are Python's own; a map is a dict (see `key_of`). Unsigned ints,
durations and timestamps are ints of their own class: Python compares them natively, and dispatch tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.language.types import INT_MAX, INT_MIN, UINT_MAX

Value = Any
"""null, bool, int, Uint, float, str, bytes, list, dict, Duration, Timestamp, Version, Maybe or TypeName."""


class EvaluationError(ArithmeticError):
    """An expression has no value for these inputs; `decide` turns it into the onError outcome."""


class Uint(int):
    """An unsigned int of 64 bits."""


class Duration(int):
    """A span of time in nanoseconds, of either sign."""


class Timestamp(int):
    """A moment in nanoseconds since 1970-01-01T00:00:00Z; years 1 to 9999."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A semantic version, in the order that semver.org gives. `rank` holds numbers, then what a pre-release has."""

    rank: tuple[Any, ...]
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type as a value: what `type(x)` gives."""

    name: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """An optional: `content` counts when `present`."""

    present: bool
    content: Any = None


NOTHING: Final = Maybe(False)


@dataclass(frozen=True, slots=True)
class BoolKey:
    """true or false as a key of a map: Python's own would be the same key as 1 and 0."""

    value: bool


_KINDS: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "map",
    Duration: "duration",
    Timestamp: "timestamp",
    Version: "version",
    TypeName: "type",
    Maybe: "optional",
}
_NUMBERS: Final = frozenset({"int", "uint", "double"})


def kind_of(value: Value) -> str:
    """The name of a value's type. Raises EvaluationError for what is no value of the language."""
    try:
        return _KINDS[value.__class__]
    except KeyError:
        raise EvaluationError(f"a Python {type(value).__name__} is no value of the language") from None


def is_number_kind(kind: str) -> bool:
    """True for int, uint and double."""
    return kind in _NUMBERS


def equals(left: Value, right: Value) -> bool:
    """CEL equality: numbers by their value whatever their type, all else by type and value; never an error."""
    ours, theirs = kind_of(left), kind_of(right)
    if ours != theirs:
        return ours in _NUMBERS and theirs in _NUMBERS and bool(left == right)
    if ours == "list":
        return len(left) == len(right) and all(map(equals, left, right))
    if ours == "map":
        return len(left) == len(right) and all(
            key in right and equals(value, right[key]) for key, value in left.items()
        )
    if ours == "optional":
        return left.present == right.present and (not left.present or equals(left.content, right.content))
    return bool(left == right)


def key_of(value: Value) -> Any:
    """The dict key for a map's key: equal for 1, 1u and 1.0. Raises EvaluationError for what can be no key."""
    match kind_of(value):
        case "bool":
            return BoolKey(value)
        case "int" | "uint" | "string":
            return value
        case kind:
            raise EvaluationError(f"a {kind} can be no key of a map")


def lookup_key(value: Value) -> Any:
    """As `key_of`, for reading: a double finds the whole number it equals, and what can be no key finds nothing."""
    match kind_of(value):
        case "bool":
            return BoolKey(value)
        case "int" | "uint" | "string" | "double":
            return value
        case _:
            return NOTHING


def value_of_key(key: Any) -> Value:
    """The value that a dict key stands for."""
    return key.value if key.__class__ is BoolKey else key


def int64(value: int) -> int:
    """`value`, which must fit a signed int. Raises EvaluationError."""
    if INT_MIN <= value <= INT_MAX:
        return int(value)
    raise EvaluationError("integer overflow: the result is beyond 64 bits")


def uint64(value: int) -> Uint:
    """`value` as an unsigned int. Raises EvaluationError."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise EvaluationError("integer overflow: the result is no unsigned int of 64 bits")


def is_zero(value: Value) -> bool:
    """Whether a value is the zero of its type: null, false, 0, empty, nothing."""
    match kind_of(value):
        case "optional":
            return not value.present
        case "timestamp" | "version" | "type":
            return False
        case _:
            return not value
