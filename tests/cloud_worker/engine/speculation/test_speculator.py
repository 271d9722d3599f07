"""The engine's speculation as a whole: the same answer with any drafter, the choice of sources, drafters that fail."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.engine.speculation.drafting import Source, Wanted
from cloud_worker.engine.speculation.remote import RemoteDrafter
from cloud_worker.engine.speculation.speculator import Speculator
from edgewise.generation.sampling import next_token
from edgewise.generation.state import GenerationState, Sampling
from edgewise.speculation import Drafter, NgramDrafter, NoDrafter

VOCAB = 6


class Wild(NoDrafter):
    """Guesses whatever its ids lead to; `fails` from some draft on."""

    def __init__(self, seed: int = 0, fails: bool = False) -> None:
        self._seed, self._fails = seed, fails

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        if self._fails:
            raise RuntimeError("secret text")
        return tuple((ids[-1] + self._seed + place) % VOCAB for place in range(most))


def logits_of(ids: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A model: a pure function of the last two ids."""
    return (
        np.random.default_rng(ids[-1] * 7 + len(ids[-2:]) + ids[-2 % len(ids)]).normal(0, 2, VOCAB).astype(np.float32)
    )


def answer(state: GenerationState, speculator: Speculator, tokens: int = 60) -> tuple[int, ...]:
    """Verify as an engine does: draw, and go on while the token is the drafted one."""
    speculator.begin("r", state)
    while len(state.output_ids) < tokens:
        ids = state.prompt_ids + state.output_ids
        room = tokens - len(state.output_ids) - 1
        drafts = speculator.propose([Wanted("r", ids, room)]).get("r", ())
        assert len(drafts) <= room
        said = list[int]()
        for guess in (*drafts, None):
            said.append(next_token(logits_of((*ids, *said)), state))
            state = state.advanced((said[-1],), "")
            if said[-1] != guess:
                break
        speculator.verified("r", len(drafts), said)
        speculator.stepped(1 + len(drafts), 0.01)
    speculator.forget("r")
    return state.output_ids


@settings(max_examples=10, deadline=None)
@given(
    prompt=st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=12),
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    seed=st.integers(0, 5),
)
def test_an_answer_is_the_same_with_every_drafter(prompt: list[int], temperature: float, seed: int) -> None:
    state = GenerationState(
        prompt_ids=tuple(prompt), messages=(), model="m", max_tokens=60, seed=seed,
        sampling=Sampling(temperature=temperature),
    )  # fmt: skip
    plain = answer(state, Speculator([]))
    remote = RemoteDrafter(VOCAB)
    for drafters in ([NgramDrafter()], [Wild(seed)], [remote, NgramDrafter()], [NgramDrafter(), Wild(1)]):
        speculator = Speculator(sources_of(*drafters))
        assert answer(state, speculator) == plain
        assert speculator.counts.accepted.keys() <= speculator.counts.drafted.keys()


def sources_of(*drafters: Drafter) -> list[Source]:
    return [
        Source(f"{number} {type(drafter).__name__}", drafter, priced=isinstance(drafter, Wild))
        for number, drafter in enumerate(drafters)
    ]


STATE = GenerationState(prompt_ids=(1, 2, 1, 2), messages=(), model="m", max_tokens=60, seed=1)


def test_a_draft_model_that_fails_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    speculator = Speculator([Source("model", Wild(fails=True), priced=True)])
    with caplog.at_level(logging.ERROR):
        assert len(answer(STATE, speculator)) == 60
    assert len(caplog.records) == 1 and "secret" not in caplog.text
    assert "test_speculator.py:" in caplog.text, "it says where"


def test_of_two_that_look_up_the_first_with_a_draft_is_taken() -> None:
    remote = RemoteDrafter(VOCAB)
    speculator = Speculator(sources_of(remote, NgramDrafter()))
    speculator.begin("r", STATE)
    for _ in range(5):
        speculator.stepped(1, 0.01)
    running = [Wanted("r", STATE.prompt_ids, 4)]
    assert speculator.propose(running)["r"][:2] == (1, 2), "the text repeats itself"
    speculator.verified("r", 0, (3,))
    remote.push("r", 0, [5, 5])
    assert speculator.propose(running)["r"][0] == 5


def test_who_never_began_or_left_gets_nothing() -> None:
    speculator = Speculator([Source("ngram", NgramDrafter())])
    speculator.verified("r", 0, (1,))
    speculator.forget("r")
    assert speculator.propose([Wanted("r", STATE.prompt_ids, 4)]) == {}


def test_no_step_has_drafts_before_a_step_was_timed() -> None:
    speculator = Speculator([Source("ngram", NgramDrafter())])
    speculator.begin("r", STATE)
    assert speculator.propose([Wanted("r", STATE.prompt_ids, 4)]) == {}
    assert speculator.counts.steps == 1 and speculator.counts.steps_with_drafts == 0
