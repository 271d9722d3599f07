"""Checks that read a reply by what it means."""

from __future__ import annotations

import pytest

from cloud_worker.forge.curriculum.checks import JsonValue, Listing, PythonSource, SameSigns

FRUITS = frozenset({"apple", "pear", "peach"})


@pytest.mark.parametrize(
    ("check", "reply", "right"),
    [
        (JsonValue('{"name": "Tom", "age": 31}'), '{"age":31,"name":"Tom"}', True),
        (JsonValue('{"name": "Tom", "age": 31}'), '{"name": "Tom", "age": "31"}', False),
        (JsonValue('{"name": "Tom", "age": 31}'), '{"name": "Tom", "age": 31, "job": null}', False),
        (JsonValue('{"name": "Tom", "age": 1}'), '{"name": "Tom", "age": true}', False),
        (JsonValue('{"name": "Tom"}'), "Tom", False),
        (JsonValue("[1, 2]"), "[2, 1]", False),
        (PythonSource("def f(a): return a + 1"), "def f(a):\n    return a+1", True),
        (PythonSource("def f(a): return a + 1"), "def f(b): return b + 1", False),
        (PythonSource("print('a')"), 'print("a")', True),
        (PythonSource("print(1)"), "print(1", False),
        (PythonSource("print(1)"), "print(1)\0", False),
        (SameSigns("ONE, TWO"), "ONE TWO", False),
        (SameSigns("ONE，TWO"), " ONE,TWO ", True),
        (SameSigns("ONE"), "one", False),
        (SameSigns("Capitals: ONE, TWO"), "ONE, TWO.", True),
        (SameSigns("Capitals: ONE, TWO"), "Capitals: ONE", False),
        (Listing(FRUITS, 2), "Pear, apple.", True),
        (Listing(FRUITS, 2), "pear、apple", True),
        (Listing(FRUITS, 2), "pear, pear", False),
        (Listing(FRUITS, 2), "pear, apple, peach", False),
        (Listing(FRUITS, 1), "plum", False),
        (Listing(FRUITS, 1), "", False),
    ],
)
def test_what_a_check_accepts(check: JsonValue | PythonSource | SameSigns | Listing, reply: str, right: bool) -> None:
    assert check.accepts(reply) is right


def test_the_digits_of_other_scripts_are_no_json() -> None:
    assert not JsonValue("[12]").accepts("[１２]")
