"""The n-gram drafter against a lookup that reads everything anew, over answers that come, grow and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.generation.state import GenerationState
from edgewise.speculation import Drafter, NgramDrafter, NoDrafter, PromptLookup

IDS = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def state_of(ids: list[int]) -> GenerationState:
    return GenerationState(prompt_ids=tuple(ids), messages=(), model="m", max_tokens=100, seed=1)


@given(texts=st.lists(IDS, min_size=1, max_size=3), cut=st.integers(1, 40), most=st.integers(0, 8))
def test_every_answer_has_a_lookup_of_its_own(texts: list[list[int]], cut: int, most: int) -> None:
    drafter = NgramDrafter()
    for number, text in enumerate(texts):
        drafter.begin(f"r{number}", state_of(text[:cut]))
    for number, text in enumerate(texts):
        assert drafter.draft(f"r{number}", text, most) == PromptLookup(text).draft(most).ids
        drafter.accepted(f"r{number}", most, 0)


def test_a_text_that_got_shorter_is_read_anew() -> None:
    drafter = NgramDrafter()
    drafter.begin("r", state_of([1, 2, 3, 1, 2]))
    assert drafter.draft("r", [7, 8, 7], 2) == (8, 7)


def test_nothing_is_kept_of_an_answer_that_ended() -> None:
    drafter = NgramDrafter()
    drafter.begin("r", state_of([4, 4, 4]))
    drafter.forget("r")
    drafter.forget("r")
    assert drafter.draft("r", [4, 4, 4], 3) == () and len(drafter) == 0


def test_the_one_that_never_guesses() -> None:
    drafter: Drafter = NoDrafter()
    drafter.begin("r", state_of([1, 1, 1]))
    drafter.accepted("r", 0, 0)
    assert drafter.draft("r", [1, 1, 1], 8) == ()
    drafter.forget("r")
