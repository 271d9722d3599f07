"""Timestamps, durations and doubles as text, there and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.library.arithmetic import MAX_DURATION, MAX_TIMESTAMP, MIN_TIMESTAMP
from policies.language.library.notation import (
    duration_text,
    plain_double,
    read_duration,
    read_timestamp,
    timestamp_text,
)
from policies.language.values import Duration, EvaluationError, Timestamp

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1h2m3.5s", 3723 * SECOND + SECOND // 2),
        ("1ns", 1),
        ("-1.5h", -5400 * SECOND),
        ("+3us", 3_000),
        ("3µs", 3_000),
        ("3μs", 3_000),
        ("1.s", SECOND),
        (".5ms", 500_000),
        ("1m1m", 120 * SECOND),
        ("0.0000000019s", 1),
        ("315576000000s", MAX_DURATION),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert read_duration(text) == Duration(nanoseconds)


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "s", ".s", "1d", "1h ", "1m1", "--1s", "١s", "1e3s", "315576000001s", "9" * 5000 + "h", "1" * 5000],
)
def test_no_durations(text: str) -> None:
    with pytest.raises(EvaluationError, match="duration"):
        read_duration(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2009-02-13T23:31:30Z", "2009-02-13T23:31:30Z"),
        ("2009-02-13t23:31:30.120z", "2009-02-13T23:31:30.12Z"),
        ("2009-02-13T23:31:30.1234567899-05:30", "2009-02-14T05:01:30.123456789Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ("2024-02-29T00:00:00+00:00", "2024-02-29T00:00:00Z"),
    ],
)
def test_timestamps(text: str, canonical: str) -> None:
    assert timestamp_text(read_timestamp(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2009-02-13",
        "2009-02-13T23:31:30",
        "2009-02-13 23:31:30Z",
        "2009-02-13T23:31:30.Z",
        "2009-02-13T23:31:30Z ",
        "2009-02-30T00:00:00Z",
        "2009-13-01T00:00:00Z",
        "2009-01-01T24:00:00Z",
        "2009-01-01T23:60:00Z",
        "2009-01-01T23:59:60Z",
        "2009-01-01T00:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "10000-01-01T00:00:00Z",
        "２００９-02-13T23:31:30Z",
    ],
)
def test_no_timestamps(text: str) -> None:
    with pytest.raises(EvaluationError, match="timestamp"):
        read_timestamp(text)


@given(st.integers(MIN_TIMESTAMP, MAX_TIMESTAMP))
def test_a_timestamp_survives_its_text(nanoseconds: int) -> None:
    text = timestamp_text(Timestamp(nanoseconds))
    assert read_timestamp(text) == nanoseconds
    by_python = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1_000)
    assert text[:19] == by_python.isoformat()[:19]


@given(st.integers(-MAX_DURATION, MAX_DURATION))
def test_a_duration_survives_its_text(nanoseconds: int) -> None:
    assert read_duration(duration_text(Duration(nanoseconds))) == nanoseconds


@given(st.text(alphabet="0123456789.-+:TZhmsunµ", max_size=30))
def test_texts_give_moments_or_errors(text: str) -> None:
    for read in (read_timestamp, read_duration):
        try:
            read(text)
        except EvaluationError:
            continue


@given(st.floats(allow_nan=False))
def test_doubles_without_exponent(value: float) -> None:
    text = plain_double(value)
    assert "e" not in text and float(text) == value
