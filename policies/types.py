"""The types of the expression language. A type is compared by value; `ERROR` stands in for what could not be typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Simple:
    """A type without parameters: null, bool, int, double, string."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Enum:
    """A closed set of words; `ordered` from the least to the greatest. `name` is the fact that declares it."""

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
    """A map from string keys to values of one type."""

    value: Type

    def __str__(self) -> str:
        return f"map(string, {self.value})"


@dataclass(frozen=True, slots=True)
class Error:
    """The type of a faulty expression: fits everywhere, so that one fault is told once."""

    def __str__(self) -> str:
        return "error"


Type = Simple | Enum | List | Map | Error

NULL: Final = Simple("null")
BOOL: Final = Simple("bool")
INT: Final = Simple("int")
DOUBLE: Final = Simple("double")
STRING: Final = Simple("string")
ERROR: Final = Error()

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1


def is_number(type_: Type) -> bool:
    """True for int, double and the error type."""
    return type_ in (INT, DOUBLE) or isinstance(type_, Error)


def is_text(type_: Type) -> bool:
    """True for what is a string when it runs: strings, enums, and the error type."""
    return type_ == STRING or isinstance(type_, Enum | Error)
