"""Scratch pads of arithmetic: column by column, ones first, every column equally wide, the result after an arrow.

Equal widths matter: a small model finds the next digit at a fixed distance. Nothing here draws or asks.
"""

from __future__ import annotations

from typing import Final

ARROW: Final = " → "


def _digit(number: int, place: int) -> int:
    return int(str(number).zfill(place + 1)[-1 - place])


def _carried(carry: int, place: int, sign: str) -> str:
    """The third term of a column; the ones have none."""
    return f"{sign}{carry}" if place else ""


def add_steps(a: int, b: int) -> list[str]:
    """Columns `digit+digit+carry=two digits`; the carry is the tens digit of the column before."""
    steps, carry = [], 0
    for place in range(max(len(str(a)), len(str(b)))):
        left, right = _digit(a, place), _digit(b, place)
        total = left + right + carry
        steps.append(f"{left}+{right}{_carried(carry, place, '+')}={total:02d}")
        carry = total // 10
    return steps


def subtract_steps(a: int, b: int) -> list[str]:
    """Columns `digit-digit-borrow+10=digit` (or +00); a lent ten is the borrow of the next column. Needs a >= b."""
    steps, borrow = [], 0
    for place in range(len(str(a))):
        left, right = _digit(a, place), _digit(b, place)
        lent = int(left < right + borrow)
        value = left - right - borrow + 10 * lent
        steps.append(f"{left}-{right}{_carried(borrow, place, '-')}+{lent}0={value}")
        borrow = lent
    return steps


def multiply_steps(a: int, b: int) -> list[str]:
    """Columns `digit*b+carry=product+carry=two digits` of a number and one digit; the ones are `digit*b=two digits`."""
    steps, carry = [], 0
    for place in range(len(str(a))):
        left = _digit(a, place)
        total = left * b + carry
        product = f"{left * b:02d}"
        steps.append(f"{left}*{b}={product}" if not place else f"{left}*{b}+{carry}={product}+{carry}={total:02d}")
        carry = total // 10
    return steps


_COLUMNS: Final = {"+": add_steps, "-": subtract_steps, "*": multiply_steps}


def value_of(a: int, sign: str, b: int) -> int:
    """The value of `a sign b`, the sign being one of + - *."""
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def step(a: int, sign: str, b: int) -> str:
    """One operation inside a longer answer: its one column (`3+4=07`), or all with their value (see `worked`)."""
    columns = _COLUMNS[sign](a, b)
    if max(a, b) < 10:
        return columns[0]
    return f"{a}{sign}{b}: {', '.join(columns)}{ARROW}{value_of(a, sign, b)}"


def worked(a: int, sign: str, b: int) -> str:
    """One operation as an answer: `3+4=07 → 7` for digits, else `34+52: 4+2=06, 3+5+0=08 → 86`."""
    return step(a, sign, b) + (f"{ARROW}{value_of(a, sign, b)}" if max(a, b) < 10 else "")
