"""Penalties: against a naive loop, to the bit; what each looks at. The tokens they lead to: test_sampling.py."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.generation.penalties import Tally, touched_scores
from edgewise.generation.state import GenerationState, Sampling
from tests.factories.states import make_state

LOGITS = np.array([1.0, 3.0, -3.0, 0.5, -2.0, 2.0, 0.0, -0.0], dtype=np.float32)
ids = st.lists(st.integers(0, 7), max_size=6).map(tuple)
rules = st.builds(
    Sampling,
    frequency_penalty=st.sampled_from([0.0, 0.1, -2.0]),
    presence_penalty=st.sampled_from([0.0, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.1, 0.7]),
    logit_bias=st.dictionaries(st.integers(0, 7), st.floats(-100, 100), max_size=3),
)


def naive(logits: list[float], state: GenerationState) -> dict[int, float]:
    rules, touched = state.sampling, {}
    for token, logit in enumerate(logits):
        count = state.output_ids.count(token)
        repeated = rules.repetition_penalty != 1 and (count or token in state.prompt_ids)
        counted = (rules.frequency_penalty or rules.presence_penalty) and count
        if not (repeated or counted or token in rules.logit_bias or (rules.repetition_penalty != 1 and count)):
            continue
        if repeated:
            logit = logit / rules.repetition_penalty if logit > 0 else logit * rules.repetition_penalty
        change = -(count * rules.frequency_penalty) - rules.presence_penalty if counted else 0.0
        touched[token] = logit + (change + rules.logit_bias.get(token, 0.0))
    return touched


@settings(max_examples=100, deadline=None)
@given(rules, ids, ids)
def test_scores_are_those_of_a_naive_loop(sampling: Sampling, prompt: tuple[int, ...], said: tuple[int, ...]) -> None:
    state = make_state(prompt_ids=prompt, output_ids=said, sampling=sampling)
    found, scores = touched_scores(LOGITS, state)
    assert dict(zip(found.tolist(), scores.tolist(), strict=True)) == naive(LOGITS.tolist(), state)
    assert (np.diff(found) > 0).all()


def test_only_repetition_looks_at_the_prompt() -> None:
    for sampling in (Sampling(frequency_penalty=1.0), Sampling(presence_penalty=1.0)):
        assert Tally(make_state(prompt_ids=(1, 2), output_ids=(3,), sampling=sampling)).ids.tolist() == [3]
    repeating = Tally(make_state(prompt_ids=(1, 2), output_ids=(3,), sampling=Sampling(repetition_penalty=2.0)))
    assert repeating.ids.tolist() == [1, 2, 3]
    assert repeating.changed(np.array([3.0, -3.0, 0.0])).tolist() == [1.5, -6.0, 0.0]


def test_without_rules_nothing_is_touched() -> None:
    tally = Tally(make_state(output_ids=(1, 2)))
    tally.add(3)
    assert len(tally.ids) == 0


@settings(max_examples=200, deadline=None)
@given(rules, ids, ids, st.lists(st.integers(0, 7), max_size=8))
def test_a_tally_that_goes_on_is_one_that_is_made_anew_to_the_bit(
    sampling: Sampling, prompt: tuple[int, ...], said: tuple[int, ...], more: list[int]
) -> None:
    state = make_state(prompt_ids=prompt, output_ids=said, sampling=sampling)
    tally = Tally(state)
    for token in more:
        tally.add(token)
        state = state.advanced((token,), "")
        for kept, anew in zip(touched_scores(LOGITS, state, tally), touched_scores(LOGITS, state), strict=True):
            assert kept.tobytes() == anew.tobytes()
