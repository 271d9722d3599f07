"""How numbers and moments are written as text and read back. What may be converted is said in conversions.py."""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal
from typing import Final

from policies.language.library.arithmetic import NANOSECONDS, duration_of, timestamp_of
from policies.language.values import Duration, EvaluationError, Timestamp

_EPOCH: Final = date(1970, 1, 1).toordinal()
CYCLE_DAYS: Final = 146_097
"""The days of 400 years, after which the calendar and its weekdays repeat."""
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_SPAN: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "h": 3_600 * NANOSECONDS,
}
_DIGITS: Final = 20
"""No duration in range has more digits before its point; behind it, fewer already make less than a nanosecond."""


# ── doubles ─────────────────────────────────────────────────────────────────────────────────────────────────────


def special(value: float) -> str:
    """NaN, Infinity or -Infinity; nothing for a finite number."""
    if math.isfinite(value):
        return ""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def plain_double(value: float) -> str:
    """The shortest digits that give the same double, without an exponent: 0.0000001, 100000000000000000000."""
    text = special(value) or format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def short_double(value: float) -> str:
    """The shortest digits that give the same double, with an exponent below 0.0001 and from 1e+06 on (cel-go)."""
    if value == 0.0 or not math.isfinite(value) or 1e-4 <= abs(value) < 1e6:
        return plain_double(value)
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    power = len(digits) - 1 + int(exponent)
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' * sign}{text[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02}"


# ── timestamps ──────────────────────────────────────────────────────────────────────────────────────────────────


def civil(days: int) -> tuple[int, date]:
    """A day, counted from 1970-01-01: years to add, a multiple of 400, and its date in the first 400 years."""
    cycles, rest = divmod(days + _EPOCH - 1, CYCLE_DAYS)
    return 400 * cycles, date.fromordinal(rest + 1)


def timestamp_text(moment: Timestamp) -> str:
    """As RFC 3339 has it, in UTC, with as many digits of the second as there are."""
    seconds, nanoseconds = divmod(int(moment), NANOSECONDS)
    days, second = divmod(seconds, 86_400)
    years, day = civil(days)
    clock = f"{second // 3_600:02}:{second // 60 % 60:02}:{second % 60:02}{_fraction(nanoseconds)}"
    return f"{years + day.year:04}-{day.month:02}-{day.day:02}T{clock}Z"


def _fraction(nanoseconds: int) -> str:
    return f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""


def read_timestamp(text: str) -> Timestamp:
    """The moment that a text names as RFC 3339 has it. Raises EvaluationError for other texts and outside of the range.

    Digits beyond nanoseconds are cut off.
    """
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise EvaluationError("this is no timestamp such as 2026-12-01T08:00:00Z")
    year, month, day, hour, minute, second = (int(found[group]) for group in range(1, 7))
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        raise EvaluationError("timestamp out of range: there is no such day in the years 1 to 9999") from None
    if hour > 23 or minute > 59 or second > 59:
        raise EvaluationError("timestamp out of range: there is no such time of day")
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - _offset(found[8])
    return timestamp_of(seconds * NANOSECONDS + _nanoseconds(found[7] or "", NANOSECONDS))


def _offset(text: str) -> int:
    if text in "Zz":
        return 0
    offset = fixed_offset(text)
    if offset is None:
        raise EvaluationError("timestamp out of range: an offset is at most 23:59")
    return offset


def fixed_offset(text: str) -> int | None:
    """The seconds east of UTC of `+02:00`, `-09:30` or `02:00`; None for other texts."""
    found = re.fullmatch(r"([+-]?)([01][0-9]|2[0-3]):([0-5][0-9])", text)
    if found is None:
        return None
    seconds = int(found[2]) * 3_600 + int(found[3]) * 60
    return -seconds if found[1] == "-" else seconds


def _nanoseconds(fraction: str, unit: int) -> int:
    """The digits behind a point, of a unit of so many nanoseconds."""
    digits = fraction[:_DIGITS]
    return int(digits or "0") * unit // int(10 ** len(digits))


# ── durations ───────────────────────────────────────────────────────────────────────────────────────────────────


def duration_text(span: Duration) -> str:
    """In seconds, with as many digits as there are: 3600s, -1.5s, 0.000000001s."""
    seconds, nanoseconds = divmod(abs(int(span)), NANOSECONDS)
    return f"{'-' if span < 0 else ''}{seconds}{_fraction(nanoseconds)}s"


def read_duration(text: str) -> Duration:
    """The span that a text such as 1h2m3.5s or -20ms names. Raises EvaluationError for others and out of range."""
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return Duration(0)
    total = place = 0
    while found := _SPAN.match(unsigned, place):
        total += _span(found)
        place = found.end()
    if place < len(unsigned) or not unsigned:
        raise EvaluationError("this is no duration such as 1h30m or 2.5s")
    return duration_of(-total if text[0] == "-" else total)


def _span(found: re.Match[str]) -> int:
    whole, fraction, unit = found[1].lstrip("0"), found[2] or "", _UNITS[found[3]]
    if not found[1] and not fraction:
        raise EvaluationError("this is no duration such as 1h30m or 2.5s")
    if len(whole) > _DIGITS:
        raise EvaluationError("duration out of range: it is beyond 315,576,000,000 seconds")
    return int(whole or "0") * unit + _nanoseconds(fraction, unit)
