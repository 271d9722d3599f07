"""Columns give back every value as it was judged, and keep what was refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from control_plane.policy_replay.columns import column_of
from control_plane.policy_replay.decide import facts_table
from policies.facts import INPUTS
from policies.language.declarations import Declaration, InputError, accept
from policies.language.types import BOOL, DOUBLE, INT, STRING, Enum, List
from tests.policies.strategies import sound_facts, unsound_facts


@pytest.mark.parametrize(
    ("declared", "raw", "values", "bad"),
    [
        (Declaration("x", DOUBLE), [1.5, -0.0], [1.5, -0.0], []),
        (Declaration("x", DOUBLE), [1, 2.5, None, math.inf], [1.0, 2.5, None, math.inf], [2, 3]),
        (Declaration("x", DOUBLE, optional=True), [None, 2.5], [None, 2.5], []),
        (Declaration("x", DOUBLE, default=0.5), [None, 2.5], [0.5, 2.5], []),
        (Declaration("i", INT), [1, 2**63, True], [1, 2**63, True], [1, 2]),
        (Declaration("b", BOOL, optional=True), [True, None, 1], [True, None, 1], [2]),
        (Declaration("s", STRING, optional=True), ["a", None, "a", 1, b"a"], ["a", None, "a", 1, b"a"], [3, 4]),
        (Declaration("e", Enum("e", ("a", "b"), False)), ["b", "c", None], ["b", "c", None], [1, 2]),
        (Declaration("l", List(STRING), optional=True), [["a"], ["b"], None, [1]], [["a"], ["b"], None, [1]], [3]),
    ],
)  # fmt: skip
def test_values_come_back(declared: Declaration, raw: list[Any], values: list[Any], bad: list[int]) -> None:
    column = column_of(declared, raw)
    got = [column.value(row) for row in range(len(raw))]
    assert [(type(value), value) for value in got] == [(type(value), value) for value in values]
    assert np.flatnonzero(np.zeros(len(raw), bool) if column.bad is None else column.bad).tolist() == bad


def test_words_are_few_and_codes_narrow() -> None:
    column = column_of(Declaration("s", STRING), ["a", "b"] * 500)
    assert column.words == ("a", "b") and column.data.dtype == np.uint8


@settings(max_examples=40, deadline=None)
@given(sound_facts | unsound_facts)
def test_a_row_is_judged_as_its_facts_are(facts: dict[str, Any]) -> None:
    row = facts_table([facts]).row(0)
    for name, declared in INPUTS.items():
        try:
            expected = accept(declared, facts.get(name))
        except InputError:
            assert row[name] is facts.get(name)
        else:
            assert (type(row[name]), row[name]) == (type(expected), expected)
