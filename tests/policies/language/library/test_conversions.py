"""Conversions between types, and what each refuses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.types import INT_MAX, INT_MIN, UINT_MAX
from policies.language.values import NOTHING, Duration, Timestamp, TypeName, Uint, Value, Version
from tests.policies.language.library.calling import error, run, same


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("bool", "t", True),
        ("bool", "False", False),
        ("bool", True, True),
        ("int", Uint(5), 5),
        ("int", -7.9, -7),
        ("int", "-0012", -12),
        ("int", "+12", 12),
        ("int", str(INT_MIN), INT_MIN),
        ("int", Timestamp(-1), -1),
        ("int", Timestamp(1_999_999_999), 1),
        ("uint", 5, Uint(5)),
        ("uint", 1.9, Uint(1)),
        ("uint", str(UINT_MAX), Uint(UINT_MAX)),
        ("double", 2**53 + 1, 2.0**53),
        ("double", Uint(3), 3.0),
        ("double", "1.38e-23", 1.38e-23),
        ("double", ".5", 0.5),
        ("double", "-Infinity", -math.inf),
        ("double", "NaN", math.nan),
        ("double", "1e-400", 0.0),
        ("string", True, "true"),
        ("string", -5, "-5"),
        ("string", Uint(5), "5"),
        ("string", b"\xc3\xbf", "ÿ"),
        ("string", 123.456, "123.456"),
        ("string", -4.5e-3, "-0.0045"),
        ("string", 100000.0, "100000"),
        ("string", 1e6, "1e+06"),
        ("string", 1234567.5, "1.2345675e+06"),
        ("string", 1e-5, "1e-05"),
        ("string", 5e-324, "5e-324"),
        ("string", -0.0, "-0"),
        ("string", -math.inf, "-Infinity"),
        ("string", Duration(-5_400_000_000_000), "-5400s"),
        ("string", Duration(1), "0.000000001s"),
        ("string", Timestamp(0), "1970-01-01T00:00:00Z"),
        ("string", Timestamp(-1), "1969-12-31T23:59:59.999999999Z"),
        ("string", Version((1, 0, 0, 1), "1.0.0"), "1.0.0"),
        ("bytes", "ÿ", b"\xc3\xbf"),
        ("bytes", "\ud800", b"\xed\xa0\x80"),
        ("timestamp", 5, Timestamp(5_000_000_000)),
        ("type", None, TypeName("null_type")),
        ("type", Duration(1), TypeName("google.protobuf.Duration")),
        ("type", Timestamp(1), TypeName("google.protobuf.Timestamp")),
        ("type", NOTHING, TypeName("optional_type")),
        ("type", TypeName("int"), TypeName("type")),
        ("type", {}, TypeName("map")),
        ("dyn", [1], [1]),
    ],
)
def test_values(name: str, value: Value, expected: Value) -> None:
    assert same(run(name, value), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bool", "TrUe"),
        ("bool", ""),
        ("int", Uint(UINT_MAX)),
        ("int", 2.0**63),
        ("int", -(2.0**63)),
        ("int", math.nan),
        ("int", str(INT_MAX + 1)),
        ("int", "9" * 10_000),
        ("int", "1_000"),
        ("int", "١٢"),
        ("int", " 1"),
        ("int", ""),
        ("uint", -1),
        ("uint", -0.5),
        ("uint", 2.0**64),
        ("uint", math.nan),
        ("uint", "+5"),
        ("uint", str(UINT_MAX + 1)),
        ("double", "1e400"),
        ("double", "1_0"),
        ("double", "0x1p3"),
        ("double", "."),
        ("double", "-nan"),
        ("double", "١"),
        ("string", b"\x00\xff"),
        ("string", b"\xed\xa0\x80"),
        ("timestamp", 253_402_300_800),
        ("timestamp", -62_135_596_801),
    ],
)
def test_what_is_refused(name: str, value: Value) -> None:
    message = error(name, value)
    assert message and "takes no" not in message


@pytest.mark.parametrize(("name", "value"), [("int", True), ("bool", 1), ("string", None), ("bytes", 1), ("uint", b"")])
def test_what_cannot_be_converted(name: str, value: Value) -> None:
    assert "takes no" in error(name, value)


@given(st.floats(allow_nan=False))
def test_a_double_survives_its_text(value: float) -> None:
    assert same(run("double", run("string", value)), value)


@given(st.text(alphabet="+-0123456789.eEinfaxI_ ", max_size=12))
def test_texts_give_numbers_or_errors(text: str) -> None:
    for name in ("int", "uint", "double", "bool"):
        error(name, text)
