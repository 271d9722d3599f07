"""The parts of timestamps, in UTC or a time zone, and of durations. Reading and writing them is in notation.py.

A zone is an offset or a name of the IANA database, which the tier must have: zoneinfo asks the system, then tzdata.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from policies.language.functions import Overload
from policies.language.library.arithmetic import NANOSECONDS, truncated
from policies.language.library.bounds import reading
from policies.language.library.notation import civil, fixed_offset
from policies.language.types import DURATION, INT, STRING, TIMESTAMP
from policies.language.values import Duration, EvaluationError, Timestamp, Value

_DAY: Final = 86_400
_MINUTE, _HOUR = 60, 3_600
_ZONE: Final = re.compile(r"[A-Z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,31}){0,2}")
"""Upper case first, so that `localtime`, `posix/…` and `right/…`, which differ by machine, are no names."""
_FIRST: Final = -62_135_596_800 + _DAY
_LAST: Final = 253_402_300_799 - _DAY
"""Seconds since 1970 that datetime can shift to every zone; beyond them the nearest of them stands in."""

Part = Callable[[int], int]
"""From the nanoseconds since 1970 by a zone's clock to what is asked."""


def _year(local: int) -> int:
    years, day = civil(local // NANOSECONDS // _DAY)
    return years + day.year


def _month(local: int) -> int:
    return civil(local // NANOSECONDS // _DAY)[1].month - 1


def _date(local: int) -> int:
    return civil(local // NANOSECONDS // _DAY)[1].day


def _day_of_month(local: int) -> int:
    return _date(local) - 1


def _day_of_year(local: int) -> int:
    return civil(local // NANOSECONDS // _DAY)[1].timetuple().tm_yday - 1


def _day_of_week(local: int) -> int:
    """Sunday is 0; 1970-01-01 was a Thursday."""
    return (local // NANOSECONDS // _DAY + 4) % 7


def _hours(local: int) -> int:
    return local // NANOSECONDS % _DAY // _HOUR


def _minutes(local: int) -> int:
    return local // NANOSECONDS % _HOUR // _MINUTE


def _seconds(local: int) -> int:
    return local // NANOSECONDS % _MINUTE


def _milliseconds(local: int) -> int:
    return local % NANOSECONDS // 1_000_000


_PARTS: Final[dict[str, tuple[str, Part]]] = {
    "getFullYear": ("year", _year),
    "getMonth": ("month", _month),
    "getDate": ("date", _date),
    "getDayOfMonth": ("day_of_month", _day_of_month),
    "getDayOfYear": ("day_of_year", _day_of_year),
    "getDayOfWeek": ("day_of_week", _day_of_week),
    "getHours": ("hours", _hours),
    "getMinutes": ("minutes", _minutes),
    "getSeconds": ("seconds", _seconds),
    "getMilliseconds": ("milliseconds", _milliseconds),
}


@lru_cache(maxsize=64)
def zone_of(name: str) -> int | ZoneInfo:
    """The seconds east of UTC for an offset such as -09:30, else the zone of that name. Raises EvaluationError."""
    offset = 0 if name == "UTC" else fixed_offset(name)
    if offset is not None:
        return offset
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise EvaluationError("there is no such time zone; write UTC, +02:00 or a name such as Europe/Paris")


def judge_zone(name: Value) -> str:
    """What is wrong with a time zone, or nothing."""
    try:
        zone_of(name)
    except EvaluationError as error:
        return str(error)
    return ""


def offset_at(moment: Timestamp, zone: int | ZoneInfo) -> int:
    """The seconds east of UTC at a moment, by a zone's rules."""
    if isinstance(zone, int):
        return zone
    seconds = min(max(moment // NANOSECONDS, _FIRST), _LAST)
    days, second = divmod(seconds, _DAY)
    years, day = civil(days)
    utc = datetime(years + day.year, day.month, day.day, second // _HOUR, second // 60 % 60, second % 60, tzinfo=UTC)
    offset = utc.astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _in_zone(part: Part) -> Callable[[Timestamp, str], int]:
    return lambda moment, name: part(int(moment) + offset_at(moment, zone_of(name)) * NANOSECONDS)


def _in_utc(part: Part) -> Callable[[Timestamp], int]:
    return lambda moment: part(int(moment))


def _of_timestamps() -> Iterator[Overload]:
    for name, (id_, part) in _PARTS.items():
        yield Overload(f"timestamp_{id_}", name, (TIMESTAMP,), INT, _in_utc(part), method=True)
        yield Overload(
            f"timestamp_{id_}_in_zone",
            name,
            (TIMESTAMP, STRING),
            INT,
            _in_zone(part),
            method=True,
            fallible=True,
            work=reading,
            constant=(1,),
            judge=judge_zone,
        )


def _whole(unit: int) -> Callable[[Duration], int]:
    return lambda span: truncated(int(span), unit)


def _duration_milliseconds(span: Duration) -> int:
    """The milliseconds beside the whole seconds, -999 to 999, as the specification has it; not the whole span."""
    return truncated(int(span) - truncated(int(span), NANOSECONDS) * NANOSECONDS, 1_000_000)


OVERLOADS: Final = (
    *_of_timestamps(),
    Overload("duration_hours", "getHours", (DURATION,), INT, _whole(_HOUR * NANOSECONDS), method=True),
    Overload("duration_minutes", "getMinutes", (DURATION,), INT, _whole(_MINUTE * NANOSECONDS), method=True),
    Overload("duration_seconds", "getSeconds", (DURATION,), INT, _whole(NANOSECONDS), method=True),
    Overload("duration_milliseconds", "getMilliseconds", (DURATION,), INT, _duration_milliseconds, method=True),
)
