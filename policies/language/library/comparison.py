"""Order, equality, membership, size, and the elements of lists and maps. Optionals are opened in optionals.py."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from policies.language.functions import Overload, constant, first
from policies.language.library.bounds import CHARACTERS_PER_STEP, comparing, reading
from policies.language.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    VERSION,
    List,
    Map,
    Param,
    Type,
)
from policies.language.values import EvaluationError, Value, equals, lookup_key

_ORDERS: Final[dict[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "_<_": ("less", operator.lt),
    "_<=_": ("less_equal", operator.le),
    "_>_": ("greater", operator.gt),
    "_>=_": ("greater_equal", operator.ge),
}
_NUMBERS: Final = (INT, UINT, DOUBLE)
_TEXTS: Final = (STRING, BYTES)
INDEXES: Final = (("", INT), ("_uint", UINT), ("_double", DOUBLE))
"""What may index a list, with the ending of the overload's id."""


def _orders() -> Iterator[Overload]:
    """Python orders these as CEL does, texts by code points; a double and a whole number are compared as doubles."""
    for name, (id_, compare) in _ORDERS.items():
        for type_ in (BOOL, STRING, BYTES, DURATION, TIMESTAMP, VERSION):
            work = reading if type_ in _TEXTS else constant
            yield Overload(f"{id_}_{type_}", name, (type_, type_), BOOL, compare, work=work)
        for left in _NUMBERS:
            for right in _NUMBERS:
                ending = str(left) if left == right else f"{left}_{right}"
                run = compare if left == right or DOUBLE not in (left, right) else _as_doubles(compare)
                yield Overload(f"{id_}_{ending}", name, (left, right), BOOL, run)


def _as_doubles(compare: Callable[[Any, Any], bool]) -> Callable[[float, float], bool]:
    """The conformance cases want 9223372036854775807 < 9223372036854775808.0 to be false; Python compares exactly."""
    return lambda left, right: compare(float(left), float(right))


def unequal(left: Value, right: Value) -> bool:
    """The contrary of `equals`."""
    return not equals(left, right)


def contains_element(element: Value, items: list[Value]) -> bool:
    """`element in items` by equality alone: NaN is in no list."""
    return any(equals(element, item) for item in items)


def contains_key(key: Value, entries: dict[Any, Value]) -> bool:
    """`key in entries`."""
    return lookup_key(key) in entries


def _has(entries: dict[Any, Value], key: Value) -> bool:
    return contains_key(key, entries)


def at_index(items: list[Value], index: float) -> Value:
    """`items[index]`. Raises EvaluationError for an index outside of the list, or with a fraction."""
    if 0 <= index < len(items) and index == int(index):
        return items[int(index)]
    raise EvaluationError(f"index {index} is outside of a list of {len(items)}")


def at_key(entries: dict[Any, Value], key: Value) -> Value:
    """`entries[key]`. Raises EvaluationError for a key that is not there."""
    try:
        return entries[lookup_key(key)]
    except KeyError:
        raise EvaluationError(f"the map has no key {_shown(key)}") from None


def _shown(key: Value) -> str:
    """A key for an error message, cut where it is long."""
    if isinstance(key, str):
        return repr(key if len(key) <= 40 else key[:40] + "…")
    return str(key).lower() if isinstance(key, bool | int | float) else f"of type {type(key).__name__.lower()}"


_K, _V, _T = Param("K"), Param("V"), Param("T")


def _walking_texts(sizes: Sequence[int]) -> int:
    return 1 + sizes[1] * (1 + sizes[0] // CHARACTERS_PER_STEP)


def _walking(sizes: Sequence[int]) -> int:
    return 1 + sizes[1] * (1 + sizes[0])


def _sizes() -> Iterator[Overload]:
    """`size(x)` and `x.size()`."""
    kinds: tuple[tuple[str, Type], ...] = (
        ("string", STRING),
        ("bytes", BYTES),
        ("list", List(_T)),
        ("map", Map(_K, _V)),
    )
    for ending, type_ in kinds:
        yield Overload(f"size_{ending}", "size", (type_,), INT, len)
        yield Overload(f"size_{ending}_method", "size", (type_,), INT, len, method=True)


OVERLOADS: Final = (
    *_orders(),
    Overload("equals", "_==_", (_T, _T), BOOL, equals, work=comparing),
    Overload("unequal", "_!=_", (_T, _T), BOOL, unequal, work=comparing),
    Overload("contains_string", "_in_", (STRING, List(STRING)), BOOL, contains_element, work=_walking_texts),
    Overload("contains_element", "_in_", (_T, List(_T)), BOOL, contains_element, work=_walking),
    Overload("contains_key", "_in_", (_K, Map(_K, _V)), BOOL, contains_key, work=lambda sizes: reading(sizes[:1])),
    *(
        Overload(f"at_index{ending}", "_[_]", (List(_T), index), _T, at_index, fallible=True, size=first)
        for ending, index in INDEXES
    ),
    Overload("at_key", "_[_]", (Map(_K, _V), _K), _V, at_key, fallible=True, size=first, work=reading),
    Overload("select", "_._", (Map(STRING, _V), STRING), _V, at_key, fallible=True, size=first, work=reading),
    Overload("has_key", "has", (Map(STRING, _V), STRING), BOOL, _has, work=reading),
    *_sizes(),
)
