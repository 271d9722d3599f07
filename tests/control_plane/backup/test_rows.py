"""Rows as lines: what goes in comes out, for every kind of column and every value that a database may give back."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import ARRAY, Integer

from control_plane.backup.manifest import Column, Kind, TableContent
from control_plane.backup.rows import content_of, decode_row, encode_row, kind_of
from control_plane.tables import METADATA

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    "text": st.text(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "time": st.datetimes(timezones=st.just(UTC)),
    "date": st.dates(),
    "json": st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    "bytes": st.binary(),
}
COLUMNS = tuple(Column(kind, kind) for kind in VALUES)
CONTENT = TableContent("t", 1, COLUMNS)


@given(row=st.tuples(*(st.none() | values for values in VALUES.values())))
def test_a_row_comes_back_as_it_was(row: tuple[Any, ...]) -> None:
    line = encode_row(CONTENT, row)
    assert line.count(b"\n") == 1
    assert tuple(decode_row(CONTENT, line).values()) == row


def test_not_a_number_comes_back() -> None:
    content = TableContent("t", 1, (Column("x", "float"),))
    assert math.isnan(decode_row(content, encode_row(content, (math.nan,)))["x"])


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    content = TableContent("t", 1, (Column("x", "time"),))
    assert decode_row(content, b'["2026-01-01T08:00:00+08:00"]\n')["x"] == datetime(2026, 1, 1, tzinfo=UTC)


@given(line=st.binary(max_size=80) | st.sampled_from([b"[" * 100_000, b"[1,2]", b"{}", b"[" + b"9" * 5000 + b"]"]))
def test_other_bytes_are_told(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode_row(CONTENT, line)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", b"[1]"),
        ("text", b'["\\ud800"]'),
        ("int", b"[1.0]"),
        ("int", b"[true]"),
        ("int", b"[9223372036854775808]"),
        ("float", b'["1"]'),
        ("bool", b"[1]"),
        ("time", b'["2026-01-01T08:00:00"]'),
        ("time", b"[0]"),
        ("date", b'["2026"]'),
        ("bytes", b'["*"]'),
    ],
)
def test_a_value_of_another_kind_is_told(kind: Kind, value: bytes) -> None:
    with pytest.raises(ValueError):
        decode_row(TableContent("t", 1, (Column("x", kind),)), value)


def test_every_column_of_every_table_has_a_written_form() -> None:
    for table in METADATA.sorted_tables:
        assert content_of(table, 0).columns


def test_a_type_without_a_written_form_stops_the_backup() -> None:
    with pytest.raises(TypeError, match=r"rows\.py"):
        kind_of(ARRAY(Integer))
