"""Stop strings: across borders, overlapping, held back no longer than needed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.generation.stops import StopScanner
from edgewise.wire.errors import BadRequestError

alphabet = st.text("ab你", max_size=30)
stop_lists = st.lists(st.text("ab你", min_size=1, max_size=4), max_size=4)


def naive(text: str, stops: list[str]) -> str:
    """Grow the text by one character at a time; cut at the longest stop that it then ends with."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))]
    return text


@given(alphabet, stop_lists, st.lists(st.integers(0, 30), max_size=6))
def test_any_split_releases_the_same_text(text: str, stops: list[str], cuts: list[int]) -> None:
    scanner, borders = StopScanner(stops), sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    shown = "".join(scanner.push(text[a:b]) for a, b in pairwise(borders)) + scanner.finish()
    assert shown == naive(text, stops)
    assert scanner.stopped == any(stop in text for stop in stops)


def test_the_stop_that_is_complete_first_wins() -> None:
    """Though a longer one began earlier: with one character at a time nobody could know of it."""
    scanner = StopScanner(["abcd", "bc"])
    assert (scanner.push("xabcd"), scanner.stopped) == ("xa", True)


def test_only_a_possible_beginning_is_held_back() -> None:
    scanner = StopScanner(["END", "E!"])
    assert [scanner.push(text) for text in ("abE", "N", "x", "E", "!", "more")] == ["ab", "", "ENx", "", "", ""]
    assert scanner.stopped
    assert scanner.finish() == ""


def test_what_was_held_back_comes_at_the_end() -> None:
    scanner = StopScanner(["END"])
    assert (scanner.push("the EN"), scanner.finish(), scanner.stopped) == ("the ", "EN", False)


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(BadRequestError):
        StopScanner(["a", ""])
