"""What every planner says of bad input: one error, and the checks that raise it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from edgewise.wire.errors import BadRequestError

Found = TypeVar("Found")
LARGEST: Final = 1e18
"""No size, amount or time that is planned with comes near it; beyond it lie slips of the keyboard and infinity."""


class PlanInputError(BadRequestError):
    """A number, a name or a file that no plan can be made from."""

    number, code = 1851, "plan_input_invalid"


def refuse(message: str, where: str, expected: str) -> PlanInputError:
    """The error for `where`, a flag or a field."""
    remedy = "correct it; `edgewise plan --help` lists the plans, and --help after a plan's name what it takes"
    return PlanInputError(message, where=where, expected=expected, remedy=remedy)


def positive(value: float, where: str) -> float:
    """The value when it is a number in reach above zero. Raises PlanInputError."""
    if not 0 < value < LARGEST:
        raise refuse(f"{str(value)[:40]} is no usable size", where, "a number above zero")
    return value


def not_negative(value: float, where: str) -> float:
    """The value when it is a number in reach of at least zero. Raises PlanInputError."""
    if not 0 <= value < LARGEST:
        raise refuse(f"{str(value)[:40]} is no usable amount", where, "a number of at least zero")
    return value


def known(name: str, table: Mapping[str, Found], where: str) -> Found:
    """The entry of a name. Raises PlanInputError listing the names there are."""
    if name not in table:
        raise refuse(f"{name[:40]!r} is not known", where, f"one of {', '.join(table)}")
    return table[name]
