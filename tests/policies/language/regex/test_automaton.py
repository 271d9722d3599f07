"""The automaton's work grows as the text does, its memory stays within the budget, its answer is the same."""

from __future__ import annotations

import pytest
from hypothesis import given

from policies.language.regex.automaton import Automaton
from policies.language.regex.parser import parse
from policies.language.regex.program import program_of
from policies.language.regex.tree import is_anchored, trimmed
from tests.policies.language.regex.samples import patterns, texts


def automaton(pattern: str, budget: int = 20_000) -> Automaton:
    tree = trimmed(parse(pattern))
    return Automaton(program_of(tree), is_anchored(tree), budget)


HOSTILE = [
    ("(a+)+$", "a", "b"),
    ("(a|aa)+$", "a", "b"),
    ("(.*)*=.*=.*;", "=", ""),
    ("(?:a?){50}a{50}b", "a", ""),
    ("(a|b)*a(a|b){12}c", "abbaab", ""),
    ("(?i)(k|K|s)+!", "kſ", ""),
    (r"(\w+\s?)+\.\z", "ab ", ""),
    (r"(?:\b\w|\B.)+=$", "a-b", ""),
]


@pytest.mark.parametrize(("pattern", "piece", "end"), HOSTILE)
def test_work_is_linear_even_if_nothing_can_be_kept(pattern: str, piece: str, end: str) -> None:
    visited = []
    for times in (100, 200, 400):
        searched = automaton(pattern, budget=1)
        assert not searched.search(piece * times + end)
        visited.append(searched.visited)
        assert searched.visited <= (len(program_of(parse(pattern)).code)) * (len(piece) * times + 2)
    assert visited[2] - visited[1] <= 2 * (visited[1] - visited[0]) + 200


def test_a_step_that_is_known_costs_no_work() -> None:
    searched = automaton("(a+)+$")
    searched.search("a" * 100 + "b")
    once = searched.visited
    searched.search("a" * 5000)
    assert searched.visited <= once + 10


def test_it_stops_reading_when_the_matter_is_settled() -> None:
    searched = automaton("^(ab)*c")
    many = "".join(map(chr, range(0x100, 0x2000)))
    assert not searched.search("x" + many)
    assert searched.search("abc" + many)
    assert searched.kept < 50


def test_what_it_keeps_is_bounded() -> None:
    searched = automaton("(a|b)*a(a|b){14}c", budget=300)
    largest_state = len(program_of(parse("(a|b)*a(a|b){14}c")).code)
    most = 0
    for number in range(300):
        searched.search(f"{number:016b}".replace("0", "a").replace("1", "b"))
        most = max(most, searched.kept)
    assert 200 < most <= 300 + largest_state + 1


def test_a_text_of_many_characters_is_bounded_too() -> None:
    searched = automaton("(x+x+)+y", budget=100)
    searched.search("".join(map(chr, range(0x4E00, 0x5E00))))
    assert searched.kept <= 110


@given(patterns, texts)
def test_forgetting_changes_no_answer(pattern: str, text: str) -> None:
    forgetful, other = automaton(pattern, budget=2), automaton(pattern)
    assert [forgetful.search(text), forgetful.search(text)] == [other.search(text), other.search(text)]
