"""Drafts pushed from outside: taken where they begin, dropped when late, wrong or malformed, never more than fits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.engine.speculation.remote import MOST_PUSHED, MOST_WAITING, RemoteDrafter
from edgewise.generation.state import GenerationState

PROMPT = (1, 2, 3)
STATE = GenerationState(prompt_ids=PROMPT, messages=(), model="m", max_tokens=100, seed=1)


def begun(vocab_size: int = 50) -> RemoteDrafter:
    drafter = RemoteDrafter(vocab_size)
    drafter.begin("r", STATE)
    return drafter


def drafted(drafter: RemoteDrafter, said: tuple[int, ...], most: int = 8) -> tuple[int, ...]:
    return drafter.draft("r", PROMPT + said, most)


def test_a_draft_is_given_from_where_the_answer_is() -> None:
    drafter = begun()
    assert drafter.push("r", 1, (8, 9, 4, 5))
    assert drafted(drafter, ()) == (), "its place is not reached"
    assert drafted(drafter, (7,), most=2) == (8, 9)
    assert drafted(drafter, (7, 8, 9)) == (4, 5)
    assert drafted(drafter, (7, 8, 9, 4, 5)) == ()
    assert drafter.counts.stale == 0


def test_a_draft_that_the_answer_left_is_dropped() -> None:
    drafter = begun()
    drafter.push("r", 1, (8, 8, 4))
    assert drafted(drafter, (7, 8, 9)) == ()
    assert drafted(drafter, (7, 8, 9, 4)) == () and drafter.counts.stale == 1


def test_pushes_that_go_on_are_put_together_and_others_replace() -> None:
    drafter = begun()
    drafter.push("r", 0, [7, 8])
    drafter.push("r", 2, [9])
    assert drafted(drafter, ()) == (7, 8, 9)
    drafter.push("r", 1, [5])
    assert drafted(drafter, (7,)) == (5,)


@pytest.mark.parametrize(
    ("start", "ids"),
    [(-1, [1]), (True, [1]), (0.0, [1]), (0, []), (0, [50]), (0, [-1]), (0, [False]), (0, ["1"]), (0, "12"), (0, None),
     (0, [1] * (MOST_PUSHED + 1))],
    ids=["before", "bool", "float", "none", "too high", "negative", "bool id", "text id", "text", "null", "too many"],
)  # fmt: skip
def test_what_is_malformed_is_dropped(start: Any, ids: Any) -> None:
    drafter = begun()
    assert not drafter.push("r", start, ids)
    assert drafted(drafter, ()) == () and drafter.counts.malformed == 1


def test_answers_that_do_not_run_take_nothing() -> None:
    drafter = begun()
    drafter.forget("r")
    drafter.forget("r")
    assert not drafter.push("r", 0, [1]) and drafter.counts.unknown == 1
    assert drafted(drafter, ()) == ()


def test_who_pushes_faster_than_the_engine_looks_loses_the_oldest() -> None:
    drafter = begun()
    for number in range(MOST_WAITING + 3):
        drafter.push("r", number, [number])
    assert drafter.counts.crowded == 3
    for number in range(200):
        drafter.push("r", 10 + number, [1])
        drafted(drafter, ())
    assert len(drafter._answers["r"].ids) <= MOST_PUSHED


@given(
    pushes=st.lists(st.tuples(st.integers(0, 12), st.lists(st.integers(0, 2), min_size=1, max_size=6)), max_size=8),
    said=st.lists(st.integers(0, 2), max_size=12),
    most=st.integers(-1, 8),
)
def test_whatever_is_pushed_a_draft_follows_what_was_said(
    pushes: list[tuple[int, list[int]]], said: list[int], most: int
) -> None:
    drafter = begun(3)
    for start, ids in pushes:
        drafter.push("r", start, ids)
        given_ids = drafted(drafter, tuple(said), most)
        assert len(given_ids) <= max(most, 0)
        if given_ids:
            whole = (*said, *given_ids)
            kept = drafter._answers["r"]
            assert kept.start == len(said) and whole[len(said) :] == kept.ids[: len(given_ids)]


def test_pushes_from_other_threads_are_taken_over_whole() -> None:
    drafter = begun()
    threads = [
        threading.Thread(target=lambda: [drafter.push("r", place, [place % 50]) for place in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(200):
        drafted(drafter, ())
    for thread in threads:
        thread.join()
    assert drafter.counts.taken == 800
