"""The types of the expression language. A type is compared by value; nothing here knows of values or of expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Simple:
    """A type without parameters."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Enum:
    """A closed set of words; `ordered` from the least to the greatest. `name` is the input that declares it."""

    name: str
    values: tuple[str, ...]
    ordered: bool

    def __str__(self) -> str:
        return f"enum({', '.join(repr(value) for value in self.values)})"


@dataclass(frozen=True, slots=True)
class List:
    """A list of elements of one type."""

    element: Type

    def __str__(self) -> str:
        return f"list({self.element})"


@dataclass(frozen=True, slots=True)
class Map:
    """A map; keys are bool, int, uint or string."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"map({self.key}, {self.value})"


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be missing."""

    value: Type

    def __str__(self) -> str:
        return f"optional({self.value})"


@dataclass(frozen=True, slots=True)
class Param:
    """A type that a call of a generic function settles; stands in signatures only."""

    name: str

    def __str__(self) -> str:
        return self.name


Type = Simple | Enum | List | Map | Optional | Param

NULL: Final = Simple("null")
BOOL: Final = Simple("bool")
INT: Final = Simple("int")
UINT: Final = Simple("uint")
DOUBLE: Final = Simple("double")
STRING: Final = Simple("string")
BYTES: Final = Simple("bytes")
DURATION: Final = Simple("duration")
TIMESTAMP: Final = Simple("timestamp")
VERSION: Final = Simple("version")
TYPE: Final = Simple("type")
DYN: Final = Simple("dyn")
"""Known only when it runs. Documents of Edgewise may not hold it (see `checker.Scope.strict`)."""
FREE: Final = Simple("_")
"""The element of an empty list, the content of an empty optional: fits every type."""
ERROR: Final = Simple("error")
"""The type of a faulty expression: fits everywhere, so that one fault is told once."""

NUMBERS: Final = frozenset({INT, UINT, DOUBLE})
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1

_LOOSE: Final = frozenset({DYN, FREE, ERROR})

Bindings = dict[str, Type]


def is_loose(type_: Type) -> bool:
    """True for dyn, a free type and the error type, which fit everywhere."""
    return type_ in _LOOSE


def is_text(type_: Type) -> bool:
    """True for what is a string when it runs: strings, enums, and the loose types."""
    return type_ == STRING or isinstance(type_, Enum) or is_loose(type_)


def parts(type_: Type) -> tuple[Type, ...]:
    """The types that `type_` is made of."""
    match type_:
        case List():
            return (type_.element,)
        case Map():
            return (type_.key, type_.value)
        case Optional():
            return (type_.value,)
        case _:
            return ()


def rebuilt(type_: Type, with_: Iterable[Type]) -> Type:
    """`type_` made of other parts."""
    match type_:
        case List():
            return List(*with_)
        case Map():
            return Map(*with_)
        case Optional():
            return Optional(*with_)
        case _:
            return type_


def holds(type_: Type, part: Type) -> bool:
    """Whether `part` is `type_` or stands anywhere in it."""
    return type_ == part or any(holds(each, part) for each in parts(type_))


def join(left: Type, right: Type) -> Type | None:
    """The one type that both fit, or None: `list(_)` and `list(int)` join to `list(int)`, enums of two kinds to string.

    null joins an optional, a duration and a timestamp, as CEL allows.
    """
    if left == right or is_loose(right):
        return DYN if right == DYN else left
    if is_loose(left):
        return DYN if left == DYN else right
    if is_text(left) and is_text(right):
        return STRING
    if NULL in (left, right):
        other = right if left == NULL else left
        return other if isinstance(other, Optional) or other in (DURATION, TIMESTAMP) else None
    if type(left) is not type(right) or not parts(left):
        return None
    joined = [join(a, b) for a, b in zip(parts(left), parts(right), strict=True)]
    known = [each for each in joined if each is not None]
    return rebuilt(left, known) if len(known) == len(joined) else None


def fits(actual: Type, wanted: Type, bindings: Bindings) -> bool:
    """Whether an argument of type `actual` may stand where a signature says `wanted`; notes what it settles."""
    if isinstance(wanted, Param):
        joined = join(bindings.get(wanted.name, FREE), actual)
        if joined is not None:
            bindings[wanted.name] = joined
        return joined is not None
    if is_loose(actual) or is_loose(wanted):
        _settle_loose(actual, wanted, bindings)
        return True
    if not parts(wanted):
        return actual == wanted or (wanted == STRING and isinstance(actual, Enum))
    return type(actual) is type(wanted) and all(
        fits(a, w, bindings) for a, w in zip(parts(actual), parts(wanted), strict=True)
    )


def _settle_loose(actual: Type, wanted: Type, bindings: Bindings) -> None:
    """A dyn argument makes every type that it would have settled dyn."""
    for part in parts(wanted):
        fits(actual, part, bindings)


def settled(type_: Type, bindings: Mapping[str, Type]) -> Type:
    """`type_` with its parameters replaced by what a call settled; an open one is free."""
    if isinstance(type_, Param):
        return bindings.get(type_.name, FREE)
    return rebuilt(type_, (settled(part, bindings) for part in parts(type_)))
