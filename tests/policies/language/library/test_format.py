"""`format`: every clause, and what each refuses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.library.format import judge_format
from policies.language.values import NOTHING, BoolKey, Duration, Timestamp, TypeName, Uint, Value
from tests.policies.language.library.calling import error, method


@pytest.mark.parametrize(
    ("text", "args", "expected"),
    [
        ("%%", [], "%"),
        ("%s%%", ["x"], "x%"),
        ("%d %d", [1, Uint(2)], "1 2"),
        ("%d", [3.5], "3.5"),
        ("%d", [1e21], "1" + "0" * 21),
        ("%d", [-math.inf], "-Infinity"),
        ("%f", [2], "2.000000"),
        ("%f", [math.nan], "NaN"),
        ("%.0f %.0f", [1.5, 2.5], "2 2"),
        ("%.3f", [-123.4999], "-123.500"),
        ("%.6e", [1052.032911275], "1.052033e+03"),
        ("%e", [math.inf], "Infinity"),
        ("%.1e", [-3.14], "-3.1e+00"),
        ("%b %b %b", [5, -5, True], "101 -101 1"),
        ("%o", [Uint(65535)], "177777"),
        ("%x %X", [30, -30], "1e -1E"),
        ("%x %X", ["é", b"\xff"], "c3a9 FF"),
        ("%s", [None], "null"),
        ("%s", [1e-7], "0.0000001"),
        ("%s", [b"a\xff\xfeb"], "a\ufffdb"),
        ("%s", [TypeName("int")], "int"),
        ("%s %s", [Timestamp(0), Duration(1_500_000_000)], "1970-01-01T00:00:00Z 1.5s"),
        ("%s", [["abc", 3.14, None, [9]]], "[abc, 3.14, null, [9]]"),
        ("%s", [{"k": "x", 6: [], BoolKey(True): 42}], "{6: [], k: x, true: 42}"),
        ("%s", ["%s"], "%s"),
        ("plain", [1], "plain"),
    ],
)
def test_values(text: str, args: list[Value], expected: str) -> None:
    assert method("format", text, args) == expected


@pytest.mark.parametrize(
    ("text", "args", "word"),
    [
        ("%a", [1], "no clause %a"),
        ("%E", [1.0], "no clause %E"),
        ("%.3d", [1], "no clause %.d"),
        ("%.f", [1.0], "no clause %."),
        ("%", [1], "ends within a clause"),
        ("%.2", [1], "ends within a clause"),
        ("%.1001f", [1.0], "at most 1000"),
        ("%d %d %d", [0, 1], "index 2 is out of range"),
        ("%d", ["1"], "%d takes numbers, and was given string"),
        ("%f", [None], "%f takes numbers, and was given null"),
        ("%e", ["NaN"], "%e takes numbers"),
        ("%b", [1.0], "%b takes whole numbers and bools"),
        ("%o", [True], "%o takes whole numbers"),
        ("%x", [0.5], "%x takes whole numbers, strings and bytes"),
        ("%X", [None], "%X takes whole numbers, strings and bytes"),
        ("%s", [NOTHING], "given optional"),
        ("%s", [[NOTHING]], "given optional"),
    ],
)
def test_errors(text: str, args: list[Value], word: str) -> None:
    assert word in error("format", text, args, method=True)


@pytest.mark.parametrize("text", ["%a", "%", "%.1001f"])
def test_a_format_is_judged_before_it_runs(text: str) -> None:
    assert judge_format(text) == error("format", text, [1.0], method=True) != ""
    assert judge_format("%s %.3f %%") == ""


@given(st.text(alphabet="%.0129sdfebxXoa ", max_size=12))
def test_a_format_that_is_judged_fine_fails_for_its_arguments_only(text: str) -> None:
    message = error("format", text, [1] * 12, method=True)
    assert bool(judge_format(text)) == bool(message)
