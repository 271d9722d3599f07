"""Parts of timestamps and durations, in UTC and in zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.library.arithmetic import MAX_TIMESTAMP, MIN_TIMESTAMP
from policies.language.library.notation import read_duration, read_timestamp
from policies.language.library.time import judge_zone
from policies.language.values import Timestamp
from tests.policies.language.library.calling import error, method

DAY = 86_400 * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "part", "zone", "expected"),
    [
        ("2009-02-13T23:31:30.123456789Z", "getFullYear", None, 2009),
        ("2009-02-13T23:31:30.123456789Z", "getMonth", None, 1),
        ("2009-02-13T23:31:30.123456789Z", "getDate", None, 13),
        ("2009-02-13T23:31:30.123456789Z", "getDayOfMonth", None, 12),
        ("2009-02-13T23:31:30.123456789Z", "getDayOfYear", None, 43),
        ("2009-02-13T23:31:30.123456789Z", "getDayOfWeek", None, 5),
        ("2009-02-15T00:00:00Z", "getDayOfWeek", None, 0),
        ("2009-02-13T23:31:30.123456789Z", "getHours", None, 23),
        ("2009-02-13T23:31:30.123456789Z", "getMinutes", None, 31),
        ("2009-02-13T23:31:30.123456789Z", "getSeconds", None, 30),
        ("2009-02-13T23:31:30.123456789Z", "getMilliseconds", None, 123),
        ("1969-12-31T23:59:59.999999999Z", "getMilliseconds", None, 999),
        ("2009-02-13T23:31:30Z", "getDate", "Australia/Sydney", 14),
        ("2009-02-13T02:00:00Z", "getDayOfMonth", "-02:30", 11),
        ("2009-02-13T23:31:30Z", "getHours", "02:00", 1),
        ("2009-02-13T23:31:30Z", "getMinutes", "+05:45", 16),
        ("2009-02-13T23:31:30Z", "getMonth", "UTC", 1),
        ("2024-03-31T00:59:59Z", "getHours", "Europe/Paris", 1),
        ("2024-03-31T01:00:00Z", "getHours", "Europe/Paris", 3),
        ("0001-01-01T00:00:00Z", "getFullYear", "-05:00", 0),
        ("0001-01-01T00:00:00Z", "getDayOfWeek", None, 1),
        ("0001-01-01T00:00:00Z", "getFullYear", "America/New_York", 0),
        ("9999-12-31T23:59:59Z", "getFullYear", "Asia/Tokyo", 10_000),
    ],
)
def test_parts_of_timestamps(text: str, part: str, zone: str | None, expected: int) -> None:
    args = () if zone is None else (zone,)
    assert method(part, read_timestamp(text), *args) == expected


@pytest.mark.parametrize(
    "zone",
    ["", "Mars", "Europe", "localtime", "posix/UTC", "../UTC", "/etc/passwd", "A\0", "24:00", "+1:00", "Ä", "U" * 5000],
)
def test_no_zones(zone: str) -> None:
    assert "no such time zone" in error("getHours", Timestamp(0), zone, method=True)
    assert judge_zone(zone) == error("getHours", Timestamp(0), zone, method=True)
    assert judge_zone("Europe/Paris") == judge_zone("-09:30") == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("3730.5s", [1, 62, 3730, 500]),
        ("-3730.5s", [-1, -62, -3730, -500]),
        ("123.321456789s", [0, 2, 123, 321]),
    ],
)
def test_parts_of_durations(text: str, parts: list[int]) -> None:
    names = ("getHours", "getMinutes", "getSeconds", "getMilliseconds")
    assert [method(name, read_duration(text)) for name in names] == parts


@given(
    st.integers(MIN_TIMESTAMP + 2 * DAY, MAX_TIMESTAMP - 2 * DAY),
    st.sampled_from(["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"]),
)
def test_zones_are_those_of_python(nanoseconds: int, zone: str) -> None:
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1_000)
    local, day = utc.astimezone(ZoneInfo(zone)), Timestamp(nanoseconds)
    assert method("getFullYear", day, zone) == local.year
    assert method("getDayOfYear", day, zone) == local.timetuple().tm_yday - 1
    assert method("getDayOfWeek", day, zone) == local.isoweekday() % 7
    assert (method("getHours", day, zone), method("getMinutes", day, zone)) == (local.hour, local.minute)
