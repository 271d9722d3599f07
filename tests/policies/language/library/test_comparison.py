"""Order, equality, membership, size, elements."""

from __future__ import annotations

import math

import pytest

from policies.language.types import INT_MAX
from policies.language.values import BoolKey, Duration, Maybe, Timestamp, TypeName, Uint, Value, Version
from tests.policies.language.library.calling import error, method, run


@pytest.mark.parametrize(
    ("less", "greater"),
    [
        (False, True),
        (1, 2),
        (Uint(1), Uint(2)),
        (1.0, 1.5),
        (-1, Uint(0)),
        (Uint(1), 1.5),
        (1, 1.5),
        (0.5, 1),
        (0.5, Uint(1)),
        (Uint(0), 1),
        ("a", "aa"),
        ("z", "é"),
        ("\uffff", "\U00010000"),
        (b"\x7f", b"\x80"),
        (Duration(-1), Duration(0)),
        (Timestamp(-1), Timestamp(0)),
        (Version((1, 0, 0, 1), "1.0.0"), Version((1, 0, 1, 1), "1.0.1")),
    ],
)
def test_order(less: Value, greater: Value) -> None:
    assert [run(name, less, greater) for name in ("_<_", "_<=_", "_>_", "_>=_")] == [True, True, False, False]
    assert [run(name, greater, less) for name in ("_<_", "_<=_", "_>_", "_>=_")] == [False, False, True, True]
    assert [run(name, less, less) for name in ("_<_", "_<=_", "_>_", "_>=_")] == [False, True, False, True]


def test_a_double_and_a_whole_number_are_ordered_as_doubles() -> None:
    assert run("_<_", INT_MAX, 2.0**63) is False
    assert run("_<_", INT_MAX, 2.0**63 + 2049) is True


@pytest.mark.parametrize("name", ["_<_", "_<=_", "_>_", "_>=_"])
def test_nan_has_no_order(name: str) -> None:
    assert run(name, math.nan, 1.0) is False
    assert run(name, 1, math.nan) is False


@pytest.mark.parametrize(
    "args", [(None, None), ([1], [2]), ({}, {}), (True, 1), ("a", 1), ("a", b"a"), (Duration(1), Timestamp(1))]
)
def test_what_has_no_order(args: tuple[Value, Value]) -> None:
    assert "takes no" in error("_<_", *args)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (Uint(1), 1, True),
        (True, 1, False),
        (None, None, True),
        (math.nan, math.nan, False),
        ([1, [2]], [1.0, [Uint(2)]], True),
        ({"a": 1}, {"a": 1.0}, True),
        (Duration(1), 1, False),
        (Maybe(True, 1), Maybe(True, 1.0), True),
        (TypeName("int"), TypeName("uint"), False),
    ],
)
def test_equality(left: Value, right: Value, equal: bool) -> None:
    assert run("_==_", left, right) is equal
    assert run("_!=_", left, right) is not equal


@pytest.mark.parametrize(
    ("element", "items", "found"),
    [
        (1, [0, 1.0], True),
        (True, [1], False),
        (math.nan, [math.nan], False),
        ("b", ["a", "b"], True),
        ("a", [], False),
        (1.0, {1: "x"}, True),
        (True, {BoolKey(True): 1}, True),
        (True, {1: 1}, False),
        (b"", {1: 1}, False),
    ],
)
def test_membership(element: Value, items: Value, found: bool) -> None:
    assert run("_in_", element, items) is found


@pytest.mark.parametrize(("value", "size"), [("πέντε", 5), ("🐱", 1), (b"\x00\x01", 2), ([1, 2], 2), ({1: 2}, 1)])
def test_size(value: Value, size: int) -> None:
    assert run("size", value) == size == method("size", value)


@pytest.mark.parametrize("index", [1, Uint(1), 1.0])
def test_an_element_of_a_list(index: Value) -> None:
    assert run("_[_]", [7, 8], index) == 8


@pytest.mark.parametrize("index", [2, -1, Uint(2), 0.5, math.nan, math.inf])
def test_no_element_of_a_list(index: Value) -> None:
    assert "outside of a list of 2" in error("_[_]", [7, 8], index)


@pytest.mark.parametrize(("key", "value"), [(1, "a"), (1.0, "a"), (Uint(1), "a"), (True, "b"), ("k", "c")])
def test_a_value_of_a_map(key: Value, value: Value) -> None:
    assert run("_[_]", {1: "a", BoolKey(True): "b", "k": "c"}, key) == value


@pytest.mark.parametrize("key", [2, False, 1.5, math.nan, b"k", "x" * 1000])
def test_no_value_of_a_map(key: Value) -> None:
    message = error("_[_]", {1: "a", BoolKey(True): "b"}, key)
    assert "the map has no key" in message and len(message) < 100


def test_fields_are_keys() -> None:
    assert run("_._", {"a": 1}, "a") == 1
    assert [run("has", {"a": 1}, name) for name in ("a", "b")] == [True, False]
    assert "has no key 'b'" in error("_._", {"a": 1}, "b")
    assert "takes no" in error("_._", [1], "b")
