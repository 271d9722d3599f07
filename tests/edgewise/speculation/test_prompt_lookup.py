"""Prompt lookup against a search that reads everything, at every length and window."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.speculation import LONGEST_MATCH, WINDOW_TOKENS, Draft, PromptLookup

FEW_IDS = st.lists(st.integers(0, 3), max_size=60)


def searched(ids: list[int], most: int, window: int = WINDOW_TOKENS) -> Draft:
    """The same draft by reading back from the end for every match length."""
    if most < 1:
        return Draft()
    for length in range(LONGEST_MATCH, 0, -1):
        for place in range(len(ids) - 1, max(length, len(ids) - window) - 1, -1):
            if length <= len(ids) and ids[place - length : place] == ids[len(ids) - length :]:
                text = list(ids)
                for step in range(most):
                    text.append(text[place + step])
                return Draft(tuple(text[len(ids) :]), length)
    return Draft()


@given(ids=FEW_IDS, most=st.integers(0, 3), cuts=st.lists(st.integers(0, 60), max_size=4))
def test_it_finds_what_a_search_through_everything_finds(ids: list[int], most: int, cuts: list[int]) -> None:
    lookup = PromptLookup()
    edges = sorted({0, len(ids), *(min(cut, len(ids)) for cut in cuts)})
    for start, stop in itertools.pairwise(edges):
        lookup.extend(ids[start:stop])
        assert lookup.draft(most) == searched(ids[:stop], most)
    assert len(lookup) == len(ids)


@given(ids=FEW_IDS, window=st.integers(1, 20))
def test_what_is_older_than_the_window_is_forgotten(ids: list[int], window: int) -> None:
    lookup = PromptLookup(ids, window)
    assert lookup.draft() == searched(ids, 3, window)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], Draft()),
        ([5], Draft()),
        ([5, 6, 7], Draft()),
        ([1, 2, 3, 9, 9, 1, 2, 3], Draft((9, 9, 1), 3)),
        ([7, 3, 1, 7, 3, 2, 8, 3], Draft((2, 8, 3), 1)),
        ([4, 4], Draft((4, 4, 4), 1)),
        ([1, 2, 1, 2, 1, 2], Draft((1, 2, 1), 3)),
    ],
    ids=["nothing", "one id", "no repetition", "three alike", "the latest", "a loop of one", "a loop of two"],
)
def test_drafts_of_short_texts(ids: list[int], expected: Draft) -> None:
    assert PromptLookup(ids).draft() == expected


def test_memory_is_bounded_by_the_window() -> None:
    lookup = PromptLookup(range(5000), window=100)
    assert sum(len(runs) for runs in lookup._followed) <= 3 * 101
