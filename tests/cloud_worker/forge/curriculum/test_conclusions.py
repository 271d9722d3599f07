"""Only the end of a reply counts: free steps, arrows of several kinds, both languages' marks; nothing else passes."""

from __future__ import annotations

import pytest

from cloud_worker.forge.curriculum.conclusions import Concludes, ConcludesList, Sequence, conclusion


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("2+2=4 → 4.", "4"),
        ("2+2=4 -> 5 => 6。", "6"),
        ("倒序：苹果、香蕉", "苹果、香蕉"),
        ("Reversed: a, b", "a, b"),
        ("It is 10:35", "it is 10:35"),
        ("", ""),
    ],
)
def test_what_is_read_as_the_conclusion(reply: str, left: str) -> None:
    assert conclusion(reply) == left


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("3 km 250 m", True),
        ("3250: 3*1000=3000 → 3km 250M.", True),
        ('→ "3 km 250 m"', True),
        ("3 km 25 m", False),
        ("3 km 250 m → 3 km", False),
        ("", False),
    ],
)
def test_concludes(reply: str, right: bool) -> None:
    assert Concludes("3 km 250 m").accepts(reply) is right


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("3 12 → 3 5 12", True),
        ("3, 5, 12", True),
        ("排序：３、５、１２。", True),
        ("3 5", False),
        ("3 5 12 12", False),
        ("3 12 5", False),
        ("3512", False),
        ("3 5 12 → ", False),
        ("", False),
    ],
)
def test_concludes_list(reply: str, right: bool) -> None:
    assert ConcludesList(("3", "5", "12")).accepts(reply) is right


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("1/3 2/3 3/3", True),
        ("1, 2, 3.", True),
        ("Counting: 1 2 3", True),
        ("1/3 2/3", False),
        ("1/3 2/3 3/3 4/3", False),
        ("2 1 3", False),
        ("", False),
    ],
)
def test_sequence(reply: str, right: bool) -> None:
    assert Sequence((1, 2, 3)).accepts(reply) is right
