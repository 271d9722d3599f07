"""`text.format(list)` of cel-go's strings extension: %s %d %f %e %b %o %x %X, with a precision for %f and %e."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from policies.language.declarations import MAX_STRING
from policies.language.functions import Overload
from policies.language.library.bounds import CHARACTERS_PER_STEP, LONG_NUMBER
from policies.language.library.conversions import bytes_of_string
from policies.language.library.notation import duration_text, plain_double, special, timestamp_text
from policies.language.types import DYN, STRING, List
from policies.language.values import EvaluationError, Value, kind_of, value_of_key

MAX_PRECISION: Final = 1_000
_DEFAULT_PRECISION: Final = 6
_CLAUSE: Final = re.compile(r"%(%|(?:\.([0-9]{1,6}))?(.)?)", re.DOTALL)
_NUMBERS: Final = frozenset({"int", "uint", "double"})
_WHOLE: Final = frozenset({"int", "uint"})

Clause = Callable[[Value, int], str]


def format_text(text: str, args: list[Value]) -> str:
    """`text` with each clause replaced by its argument. Raises EvaluationError for bad clauses and arguments."""
    left = iter(enumerate(args))

    def written(found: re.Match[str]) -> str:
        if found[1] == "%":
            return "%"
        clause, precision = _clause(found)
        place, arg = next(left, (len(args), _MISSING))
        if arg is _MISSING:
            raise EvaluationError(f"format: index {place} is out of range, there are {len(args)} arguments")
        return clause(arg, precision)

    return _CLAUSE.sub(written, text)


_MISSING: Final = object()


def _clause(found: re.Match[str]) -> tuple[Clause, int]:
    precision, letter = found[2], found[3]
    if letter is None:
        raise EvaluationError("format: the text ends within a clause; write %% for a percent sign")
    if letter not in _CLAUSES or (precision is not None and letter not in "fe"):
        raise EvaluationError(f"format: there is no clause %{'.' * (precision is not None)}{letter}")
    if precision is not None and int(precision) > MAX_PRECISION:
        raise EvaluationError(f"format: a precision is at most {MAX_PRECISION}")
    return _CLAUSES[letter], _DEFAULT_PRECISION if precision is None else int(precision)


def judge_format(text: Value) -> str:
    """What is wrong with a format, or nothing."""
    try:
        for found in _CLAUSE.finditer(str(text)):
            if found[1] != "%":
                _clause(found)
    except EvaluationError as error:
        return str(error)
    return ""


# ── clauses ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _refused(clause: str, takes: str, value: Value) -> EvaluationError:
    return EvaluationError(f"format: %{clause} takes {takes}, and was given {kind_of(value)}")


def _string(value: Value, _precision: int = 0) -> str:
    write = _WRITERS.get(kind_of(value))
    if write is None:
        raise _refused("s", "values that have a text", value)
    return write(value)


def _list(items: list[Value]) -> str:
    return f"[{', '.join(map(_string, items))}]"


def _map(entries: dict[object, Value]) -> str:
    pairs = sorted((_string(value_of_key(key)), _string(value)) for key, value in entries.items())
    return f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"


_WRITERS: Final[dict[str, Callable[..., str]]] = {
    "null": lambda value: "null",
    "bool": lambda value: "true" if value else "false",
    "int": str,
    "uint": str,
    "double": plain_double,
    "string": str,
    "bytes": lambda value: re.sub("\ufffd+", "\ufffd", value.decode("utf-8", "replace")),
    "duration": duration_text,
    "timestamp": timestamp_text,
    "version": str,
    "type": lambda value: value.name,
    "list": _list,
    "map": _map,
}


def _decimal(value: Value, _precision: int) -> str:
    if kind_of(value) not in _NUMBERS:
        raise _refused("d", "numbers", value)
    return _string(value)


def _floating(letter: str) -> Clause:
    def write(value: Value, precision: int) -> str:
        if kind_of(value) not in _NUMBERS:
            raise _refused(letter, "numbers", value)
        return special(float(value)) or f"{float(value):.{precision}{letter}}"

    return write


def _based(letter: str, kinds: frozenset[str], takes: str) -> Clause:
    def write(value: Value, _precision: int) -> str:
        if kind_of(value) not in kinds:
            raise _refused(letter, takes, value)
        return format(int(value), letter)

    return write


def _hexadecimal(letter: str) -> Clause:
    whole = _based(letter, _WHOLE, "whole numbers, strings and bytes")

    def write(value: Value, precision: int) -> str:
        kind = kind_of(value)
        if kind not in ("string", "bytes"):
            return whole(value, precision)
        digits = (value if kind == "bytes" else bytes_of_string(value)).hex()
        return digits.upper() if letter == "X" else digits

    return write


_CLAUSES: Final[dict[str, Clause]] = {
    "s": _string,
    "d": _decimal,
    "f": _floating("f"),
    "e": _floating("e"),
    "b": _based("b", _WHOLE | {"bool"}, "whole numbers and bools"),
    "o": _based("o", _WHOLE, "whole numbers"),
    "x": _hexadecimal("x"),
    "X": _hexadecimal("X"),
}


def _size(sizes: Sequence[int]) -> int:
    """Every clause, two characters at least, as the longest argument in hexadecimal or the longest number."""
    clauses = min(sizes[0] // 2, sizes[1])
    return sizes[0] + clauses * max(8 * MAX_STRING, MAX_PRECISION + LONG_NUMBER)


OVERLOADS: Final = (
    Overload(
        "format",
        "format",
        (STRING, List(DYN)),
        STRING,
        format_text,
        method=True,
        fallible=True,
        size=_size,
        work=lambda sizes: 1 + _size(sizes) // CHARACTERS_PER_STEP,
        constant=(0,),
        judge=judge_format,
    ),
)
