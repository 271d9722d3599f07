"""Optionals: made, opened, selected through."""

from __future__ import annotations

import pytest

from policies.language.values import NOTHING, BoolKey, Maybe, Uint, Value
from tests.policies.language.library.calling import error, method, run


@pytest.mark.parametrize("zero", [None, False, 0, Uint(0), 0.0, "", b"", [], {}, NOTHING])
def test_zeros_make_nothing(zero: Value) -> None:
    assert run("optional.ofNonZeroValue", zero) == NOTHING
    assert run("optional.of", zero) == Maybe(True, zero)


def test_opening() -> None:
    one = run("optional.of", 1)
    assert method("hasValue", one) is True and method("hasValue", run("optional.none")) is False
    assert method("value", one) == 1
    assert "holds nothing" in error("value", NOTHING, method=True)
    assert method("or", NOTHING, one) == one == method("or", one, Maybe(True, 2))
    assert method("orValue", NOTHING, 2) == 2 and method("orValue", one, 2) == 1


@pytest.mark.parametrize(
    ("name", "operand", "key", "expected"),
    [
        ("_[?_]", [7], 0, Maybe(True, 7)),
        ("_[?_]", [7], 1, NOTHING),
        ("_[?_]", [7], -1, NOTHING),
        ("_[?_]", [7], 0.5, NOTHING),
        ("_[?_]", {1: "a"}, 1.0, Maybe(True, "a")),
        ("_[?_]", {BoolKey(True): "a"}, 1, NOTHING),
        ("_[?_]", Maybe(True, [7]), 0, Maybe(True, 7)),
        ("_[?_]", Maybe(True, {0: 8}), 0, Maybe(True, 8)),
        ("_[?_]", NOTHING, 0, NOTHING),
        ("_[_]", Maybe(True, [7]), Uint(0), Maybe(True, 7)),
        ("_[_]", Maybe(True, {"a": 8}), "b", NOTHING),
        ("_?._", {"a": None}, "a", Maybe(True, None)),
        ("_?._", {}, "a", NOTHING),
        ("_?._", Maybe(True, {"a": 1}), "a", Maybe(True, 1)),
        ("_._", Maybe(True, {"a": 1}), "a", Maybe(True, 1)),
        ("_._", Maybe(True, {}), "a", NOTHING),
        ("_._", NOTHING, "a", NOTHING),
        ("has", Maybe(True, {"a": 1}), "a", True),
        ("has", NOTHING, "a", False),
    ],
)
def test_selection(name: str, operand: Value, key: Value, expected: Value) -> None:
    assert run(name, operand, key) == expected


@pytest.mark.parametrize(
    ("name", "operand", "key"),
    [
        ("_._", Maybe(True, 1), "a"),
        ("_?._", Maybe(True, None), "a"),
        ("_[_]", Maybe(True, "text"), 0),
        ("_[_]", Maybe(True, [1]), "a"),
        ("has", Maybe(True, 1), "a"),
        ("_[?_]", 1, 0),
    ],
)
def test_selection_in_what_has_no_elements(name: str, operand: Value, key: Value) -> None:
    assert error(name, operand, key)


def test_unwrapping_leaves_out_what_holds_nothing() -> None:
    items = [Maybe(True, 1), NOTHING, Maybe(True, None)]
    assert run("optional.unwrap", items) == [1, None] == method("unwrapOpt", items)
    assert "list of optionals" in error("optional.unwrap", [1])
