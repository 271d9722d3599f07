"""Our language beside Google's CEL, where that is installed; the long form is python -m tests.policies.oracle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.policies.oracle import DIFFERENCES, Oracle, batches, differing, oracle, outcomes, python

PAGE = (Path(__file__).parents[2] / "docs" / "cel-profile.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def engine() -> Iterator[Oracle]:
    path = python()
    if path is None:
        pytest.skip("there is no cel-expr-python here; python -m tests.policies.oracle --install makes it")
    with oracle(path) as running:
        yield running


def test_random_expressions_are_worth_the_same(engine: Oracle) -> None:
    for found in islice(batches(engine, seed=5), 5):
        assert not found, str(found[0])


@pytest.mark.parametrize("expression", DIFFERENCES)
def test_the_differences_that_are_told_are_there(engine: Oracle, expression: str) -> None:
    found = differing(expression, [{}], engine.outcomes([expression], [{}])[0])
    assert found is not None and found.expression == expression


def test_a_difference_is_seen() -> None:
    assert differing("1 + 1", [{}, {}], [["value", ["int", 2]], ["value", ["double", "2.0"]]]) is not None
    assert differing("1 + 1", [{}], [["error", "no"]]) is not None
    assert differing("1 + 1", [{}], [["refused", "no"]]) is not None
    assert differing("1 + 1", [{}], [["value", ["int", 2]]]) is None


def test_what_ours_makes_of_the_differences_is_as_told() -> None:
    found = {expression: outcomes(expression, [{}])[0] for expression in DIFFERENCES}
    assert found["''.split('')"] == ["value", ["list", []]]
    assert found["(-9223372036854775808) % -1"] == ["value", ["int", 0]]
    assert {expression for expression, told in found.items() if told[0] != "value"} == {
        "math.greatest(0.0 / 0.0, 1.0)",
        "optional.of(1).orValue(1 / 0)",
    }


def test_every_difference_is_on_the_page() -> None:
    told = dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|$", PAGE.partition("## Beside Google's CEL")[2], re.MULTILINE))
    assert told == DIFFERENCES
