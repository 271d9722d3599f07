"""The draft model's drafts against a text read from nothing, over answers that grow, go wrong, come late and leave."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.speculation.drafting import BatchDrafter, Wanted
from cloud_worker.engine.speculation.model_drafter import CATCH_UP_TOKENS, ModelDrafter, drawn
from cloud_worker.engine.speculation.step_costs import StepCosts
from cloud_worker.engine.work import Segment
from edgewise.generation.penalties import Tally
from edgewise.generation.sampling import next_token
from edgewise.generation.state import GenerationState, Sampling
from tests.cloud_worker.engine.model.stepping import config_of, wild_decoder

VOCAB = 100
PENALTIES = (Sampling(repetition_penalty=1.7), Sampling(frequency_penalty=1.7), Sampling(presence_penalty=1.7))
IDS = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=45)


@cache
def decoder(which: str = "drafts") -> Decoder:
    """One that drafts in all tests (what it reads it has written, so nobody's rest disturbs), one that is compared."""
    return wild_decoder(config_of(), "float32", blocks=48)


def state_of(prompt: Sequence[int], temperature: float = 1.0) -> GenerationState:
    sampling = Sampling(temperature=temperature)
    return GenerationState(
        prompt_ids=tuple(prompt), messages=(), model="m", max_tokens=400, seed=7, sampling=sampling
    )  # fmt: skip


def drafter_of(model: object | None = None, blocks: int = 48) -> ModelDrafter:
    return ModelDrafter(model or decoder(), blocks=blocks, context_tokens=300, vocab_size=VOCAB)  # type: ignore[arg-type]


def written(state: GenerationState, count: int) -> tuple[int, ...]:
    """`count` ids, each from one reading of the whole text."""
    table = list(range(12))
    for _ in range(count):
        ids = state.prompt_ids + state.output_ids
        model = decoder("compared")
        hidden = model.forward([Segment("w", table, 0, ids, True, wanted=1)])
        state = state.advanced((next_token(model.logits(hidden)[0].numpy(), state),), "")
    return state.output_ids[-count:] if count else ()


@settings(max_examples=6, deadline=None)
@given(prompts=st.lists(IDS, min_size=1, max_size=3), held=st.integers(0, 4), wrong=st.integers(0, VOCAB - 1))
def test_drafts_are_what_the_model_would_say(prompts: list[list[int]], held: int, wrong: int) -> None:
    drafter = drafter_of()
    states = {f"r{number}": state_of(prompt) for number, prompt in enumerate(prompts)}
    for request, state in states.items():
        drafter.begin(request, state)
    for most in (4, 2):
        texts = {request: state.prompt_ids + state.output_ids for request, state in states.items()}
        drafts = drafter.draft_all([Wanted(request, ids, most) for request, ids in texts.items()])
        assert drafts == [written(state, most) for state in states.values()]
        drafter.check_integrity()
        states = {
            request: state.advanced((*draft[:held], wrong, wrong), "")
            for (request, state), draft in zip(states.items(), drafts, strict=True)
        }


def test_many_tokens_that_were_said_without_it_are_read_in_one_call() -> None:
    model = Counted()
    drafter, state = drafter_of(model), state_of(range(40))
    drafter.begin("r", state)
    first = drafter.draft("r", state.prompt_ids, 3)
    assert model.calls == 3 and len(first) == 3
    state = state.advanced(tuple(range(50, 75)), "")
    assert drafter.draft("r", list(state.prompt_ids + state.output_ids), 2) == written(state, 2)
    assert model.calls == 5


def test_a_long_prompt_is_read_over_several_drafts() -> None:
    drafter = ModelDrafter(
        wild_decoder(config_of(), "float32", blocks=80), blocks=80, context_tokens=4000, vocab_size=VOCAB
    )
    prompt = tuple(place % VOCAB for place in range(CATCH_UP_TOKENS - 64))
    wanted = [Wanted("a", prompt, 2), Wanted("b", prompt, 2)]
    for each in wanted:
        drafter.begin(each.request, state_of(prompt))
    assert [len(draft) for draft in drafter.draft_all(wanted)] == [2, 0], "the second has read but 64 tokens"
    assert len(drafter._texts["b"].read) == 64
    assert [len(draft) for draft in drafter.draft_all(wanted)] == [2, 2]


def test_without_room_nothing_is_drafted() -> None:
    drafter = drafter_of(blocks=2)
    drafter.begin("a", state_of(range(40)))
    drafter.begin("b", state_of(range(10)))
    drafts = drafter.draft_all([Wanted("a", range(40), 4), Wanted("b", range(10), 4)])
    assert len(drafts[0]) == 4 and drafts[1] == ()
    drafter.forget("a")
    assert len(drafter.draft("b", range(10), 4)) == 4
    drafter.forget("b")
    drafter.forget("b")
    drafter.check_integrity()
    assert drafter._pool.room == 2


def test_past_the_context_nothing_is_drafted() -> None:
    drafter, ids = drafter_of(), [place % VOCAB for place in range(297)]
    drafter.begin("r", state_of(ids))
    assert drafter.draft("r", ids, 4) == () and len(drafter.draft("r", ids, 3)) == 3


def test_ids_that_the_model_does_not_have_are_not_read() -> None:
    drafter = drafter_of()
    drafter.begin("r", state_of([VOCAB]))
    assert drafter.draft("r", [VOCAB], 2) == () == drafter.draft("unknown", [1], 2)
    drafter.begin("s", state_of([1]))
    assert drafter.draft("s", [1, VOCAB], 2) == () == drafter.draft("s", [1], 0)


def test_logits_that_are_no_numbers_end_a_draft() -> None:
    drafter = drafter_of(Broken())
    drafter.begin("r", state_of([1, 2]))
    assert drafter.draft("r", [1, 2], 3) == ()


def test_only_calls_of_rows_are_timed() -> None:
    costs, ticks = StepCosts(), iter(range(1000))
    drafter = ModelDrafter(
        decoder(), blocks=48, context_tokens=300, vocab_size=VOCAB, costs=costs, clock=lambda: next(ticks)
    )
    drafter.begin("r", state_of(range(40)))
    drafter.draft("r", range(40), 4)
    assert costs.steps == 3 and isinstance(drafter, BatchDrafter)


@pytest.mark.parametrize("temperature", [0.0, 1.0], ids=["greedy", "sampled"])
def test_a_model_drafts_for_itself_without_a_miss(temperature: float) -> None:
    drafter, state = drafter_of(), state_of([3, 1, 4], temperature)
    drafter.begin("r", state)
    draft = drafter.draft("r", [3, 1, 4], 6)
    assert draft == written(msgspec.structs.replace(state, output_ids=()), 6)


def test_a_text_with_a_bias_on_an_id_that_it_does_not_have_is_not_drafted_for() -> None:
    """Vocabularies of one family are padded to different lengths."""
    drafter, biased = drafter_of(), Sampling(temperature=0.0, logit_bias={VOCAB + 3: 1.0})
    drafter.begin("a", msgspec.structs.replace(state_of(range(5)), sampling=biased))
    drafter.begin("b", state_of(range(5)))
    drafts = drafter.draft_all([Wanted("a", range(5), 3), Wanted("b", range(5), 3)])
    assert [len(draft) for draft in drafts] == [0, 3]


@given(held=st.integers(0, 3), rules=st.sampled_from(PENALTIES))
@settings(max_examples=6, deadline=None)
def test_penalties_count_what_was_drafted_and_forget_what_did_not_hold(held: int, rules: Sampling) -> None:

    def draw(logits: Tensor, states: Sequence[GenerationState], tallies: Sequence[Tally]) -> list[int | None]:
        for each, tally in zip(states, tallies, strict=True):
            ones, expected = np.ones(len(tally.ids)), Tally(each)
            assert tally.ids.tolist() == expected.ids.tolist()
            assert tally.changed(ones).tolist() == expected.changed(ones).tolist()
        return drawn(logits, states, tallies)

    drafter = ModelDrafter(decoder(), blocks=48, context_tokens=300, vocab_size=VOCAB, draw=draw)
    state = msgspec.structs.replace(state_of(range(8)), sampling=rules)
    drafter.begin("r", state)
    for _ in range(3):
        draft = drafter.draft("r", state.prompt_ids + state.output_ids, 4)
        assert draft == written(state, 4)
        state = state.advanced((*draft[:held], 9), "")


def test_a_prompt_is_counted_once_for_all_drafts_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, count = list[GenerationState](), Tally._count

    def noted(self: Tally, state: GenerationState) -> None:
        counted.append(state)
        count(self, state)

    def draw(logits: Tensor, states: Sequence[GenerationState], tallies: Sequence[Tally]) -> list[int | None]:
        return [11 for _ in tallies]

    monkeypatch.setattr(Tally, "_count", noted)
    drafter = ModelDrafter(decoder(), blocks=48, context_tokens=300, vocab_size=VOCAB, draw=draw)
    state = msgspec.structs.replace(state_of(range(8)), sampling=Sampling(repetition_penalty=1.5))
    drafter.begin("r", state)
    for _ in range(2):
        state = state.advanced(drafter.draft("r", state.prompt_ids + state.output_ids, 4), "")
    assert len(state.output_ids) == 8 and len(counted) == 1


class Counted:
    """The decoder, counting its calls."""

    calls = 0

    def forward(self, segments: Sequence[Segment]) -> Tensor:
        self.calls += 1
        return decoder().forward(segments)

    def logits(self, hidden: Tensor) -> Tensor:
        return decoder().logits(hidden)


class Broken:
    def forward(self, segments: Sequence[Segment]) -> Tensor:
        return torch.zeros(1, 4)

    def logits(self, hidden: Tensor) -> Tensor:
        return torch.full((1, VOCAB), float("nan"))
