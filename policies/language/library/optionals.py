"""Optionals: how they are made and opened, and selection that gives nothing, not an error, where nothing is there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from policies.language.functions import Overload, first
from policies.language.library.bounds import copying, reading
from policies.language.library.comparison import INDEXES
from policies.language.types import BOOL, FREE, STRING, List, Map, Optional, Param, Type
from policies.language.values import NOTHING, EvaluationError, Maybe, Value, is_zero, kind_of, lookup_key


def of_non_zero(value: Value) -> Maybe:
    """Nothing for the zero of a type: null, false, 0, what is empty."""
    return NOTHING if is_zero(value) else Maybe(True, value)


def value_of(maybe: Maybe) -> Value:
    """What the optional holds. Raises EvaluationError when it holds nothing."""
    if maybe.present:
        return maybe.content
    raise EvaluationError("the optional holds nothing")


def either(maybe: Maybe, other: Maybe) -> Maybe:
    """The first optional, or the other where the first holds nothing."""
    return maybe if maybe.present else other


def value_or(maybe: Maybe, otherwise: Value) -> Value:
    """What the optional holds, or another value."""
    return maybe.content if maybe.present else otherwise


def index_maybe(items: list[Value], index: float) -> Maybe:
    """The element at `index`; nothing outside of the list."""
    found = 0 <= index < len(items) and index == int(index)
    return Maybe(True, items[int(index)]) if found else NOTHING


def key_maybe(entries: dict[Any, Value], key: Value) -> Maybe:
    """The value at `key`; nothing when it is not there."""
    found = lookup_key(key)
    return Maybe(True, entries[found]) if found in entries else NOTHING


def select_maybe(operand: Value, key: Value) -> Maybe:
    """The element or value at `key` of a list or a map. Raises EvaluationError for other operands and indexes."""
    kind = kind_of(operand)
    if kind == "map":
        return key_maybe(operand, key)
    if kind == "list" and kind_of(key) in ("int", "uint", "double"):
        return index_maybe(operand, key)
    raise EvaluationError(f"a {kind} has no element at a {kind_of(key)}")


def select_inside(maybe: Maybe, key: Value) -> Maybe:
    """As `select_maybe` for what an optional holds; nothing in nothing. Raises EvaluationError."""
    return select_maybe(maybe.content, key) if maybe.present else NOTHING


def has_inside(maybe: Maybe, key: Value) -> bool:
    """Whether the map that an optional holds has a key. Raises EvaluationError when it holds no map."""
    return select_inside(maybe, key).present


def unwrapped(items: list[Value]) -> list[Value]:
    """What the optionals of a list hold. Raises EvaluationError for other elements."""
    if any(kind_of(item) != "optional" for item in items):
        raise EvaluationError("unwrap takes a list of optionals")
    return [item.content for item in items if item.present]


_K, _V, _T = Param("K"), Param("V"), Param("T")
_MAYBE: Final = Optional(_T)


def _inside(id_: str, name: str, operand: Type, key: Type, result: Type) -> Overload:
    """A selection over an optional: what it holds is known only when it runs, where its type is not."""
    params = (Optional(operand), key)
    return Overload(id_, name, params, Optional(result), select_inside, fallible=True, size=first, work=reading)


def _selections() -> Iterator[Overload]:
    for ending, index in INDEXES:
        params = (List(_T), index)
        yield Overload(f"index_maybe{ending}", "_[?_]", params, _MAYBE, index_maybe, size=first)
        yield _inside(f"index_maybe{ending}_inside", "_[?_]", List(_T), index, _T)
        yield _inside(f"at_index{ending}_inside", "_[_]", List(_T), index, _T)
    params_of_key = (Map(_K, _V), _K)
    yield Overload("key_maybe", "_[?_]", params_of_key, Optional(_V), key_maybe, size=first, work=reading)
    yield _inside("key_maybe_inside", "_[?_]", Map(_K, _V), _K, _V)
    yield _inside("at_key_inside", "_[_]", Map(_K, _V), _K, _V)
    fields = (Map(STRING, _V), STRING)
    yield Overload("select_maybe", "_?._", fields, Optional(_V), key_maybe, size=first, work=reading)
    yield _inside("select_maybe_inside", "_?._", *fields, _V)
    yield _inside("select_inside", "_._", *fields, _V)


_unwrap: Final = partial(Overload, fallible=True, size=first, work=copying)

OVERLOADS: Final = (
    Overload("optional_of", "optional.of", (_T,), _MAYBE, lambda value: Maybe(True, value), size=first),
    Overload("optional_none", "optional.none", (), Optional(FREE), lambda: NOTHING),
    Overload("optional_of_non_zero", "optional.ofNonZeroValue", (_T,), _MAYBE, of_non_zero, size=first),
    Overload("has_value", "hasValue", (_MAYBE,), BOOL, lambda maybe: maybe.present, method=True),
    Overload("value", "value", (_MAYBE,), _T, value_of, method=True, fallible=True, size=first),
    Overload("or", "or", (_MAYBE, _MAYBE), _MAYBE, either, method=True, size=max),
    Overload("or_value", "orValue", (_MAYBE, _T), _T, value_or, method=True, size=max),
    _unwrap("unwrap", "optional.unwrap", (List(_MAYBE),), List(_T), unwrapped),
    _unwrap("unwrap_method", "unwrapOpt", (List(_MAYBE),), List(_T), unwrapped, method=True),
    *_selections(),
    Overload("has_maybe", "has", (Optional(Map(STRING, _V)), STRING), BOOL, has_inside, fallible=True, work=reading),
)
