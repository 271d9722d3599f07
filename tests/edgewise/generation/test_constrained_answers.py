"""Answers under a grammar, row by row: the same ids with drafts and without, cut anywhere, ended in the same place."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.generation.grammar import InvalidGrammarError, json_grammar, regex_grammar
from edgewise.generation.grammar_masks import constraint_of
from edgewise.generation.state import GenerationState, Sampling
from edgewise.generation.verification import Ask, Said, verified
from tests.edgewise.generation.test_grammar_masks import GRAMMARS, PERSON, VOCAB, grammars, text_of
from tests.factories.states import make_state
from tests.factories.tokenizers import END_ID

SAMPLINGS = [Sampling(), Sampling(temperature=0.0), Sampling(temperature=1.3, top_p=0.7, top_k=9, min_p=0.02)]


def model(ids: tuple[int, ...]) -> np.ndarray:
    """Logits that are a function of the last three ids."""
    seed = [7, *ids[-3:]]
    return np.random.default_rng(seed).standard_normal(VOCAB).astype(np.float32) * np.float32(2)


def ask(state: GenerationState, drafts: tuple[int, ...] = ()) -> Said:
    rows = np.stack([model(state.prompt_ids + state.output_ids + drafts[:count]) for count in range(len(drafts) + 1)])
    constraint = constraint_of(grammars(), state, (END_ID,), VOCAB)
    return verified(rows, Ask(state, drafts, (END_ID,), constraint=constraint))


def answer(state: GenerationState) -> Said:
    """Row after row, to the end."""
    while True:
        said = ask(state)
        state = said.state
        if said.finish:
            return said


def asked(grammar: str, seed: int, sampling: Sampling, max_tokens: int = 60) -> GenerationState:
    return make_state(grammar=grammar, seed=seed, sampling=sampling, max_tokens=max_tokens, eos_ids=(END_ID,))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(GRAMMARS), st.integers(0, 2**32), st.sampled_from(SAMPLINGS))
def test_drafts_and_cuts_change_nothing(data: st.DataObject, grammar: str, seed: int, sampling: Sampling) -> None:
    given_state = asked(grammar, seed, sampling)
    whole = answer(given_state)
    ids = whole.state.output_ids
    cut = data.draw(st.integers(0, len(ids)), label="cut")
    state, finish = given_state.advanced(ids[:cut], ""), None
    if cut == len(ids) and (state.budget == 0 or _complete(state)):
        return  # which whoever takes it up again sees before it asks for a row
    while finish is None:
        place = len(state.output_ids)
        right = data.draw(st.integers(0, 6), label="right")
        wrong = data.draw(st.lists(st.sampled_from([END_ID, 0, 40, 90, VOCAB - 1]), max_size=3), label="wrong")
        said = ask(state, (*ids[place : place + right], *wrong))
        state, finish = said.state, said.finish
        assert said.error is None
    assert (state.output_ids, finish) == (ids, whole.finish)


def _complete(state: GenerationState) -> bool:
    constraint = constraint_of(grammars(), state, (END_ID,), VOCAB)
    return constraint is not None and constraint.complete(state.output_ids)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["plain", "greedy", "filtered"])
def test_an_answer_that_ends_is_of_the_schema(sampling: Sampling) -> None:
    ended = 0
    for seed in range(12):
        said = answer(asked(json_grammar(PERSON), seed, sampling, 400))
        if said.finish == "stop":
            ended += 1
            assert set(json.loads(text_of(said.state.output_ids))) == {"name", "mood", "n"}
    assert ended >= 1


def test_a_complete_grammar_ends_an_answer_as_stop_with_its_last_token_and_a_short_limit_as_length() -> None:
    for most, finish in ((4, "stop"), (9, "stop"), (3, "length")):
        said = answer(asked(regex_grammar("[0-9]{4}"), 3, Sampling(), most))
        assert said.finish == finish and len(text_of(said.state.output_ids)) <= 4
        assert END_ID not in said.state.output_ids
    assert text_of(answer(asked(regex_grammar("[0-9]{4}"), 3, Sampling())).state.output_ids).isdigit()


def test_drafts_beyond_the_end_of_the_grammar_are_not_looked_at() -> None:
    state = asked(regex_grammar("yes|no"), 1, Sampling())
    whole = answer(state).state.output_ids
    assert text_of(whole) in (b"yes", b"no")
    said = ask(state, (*whole, END_ID, *whole))
    assert (said.ids, said.finish, said.held) == (whole, "stop", len(whole))


def test_what_stops_following_ends_that_answer_and_what_it_said_stands() -> None:
    class Stuck:
        def allowed(self, output_ids: tuple[int, ...]) -> np.ndarray:
            if output_ids:
                raise InvalidGrammarError("no more")
            return np.ones(VOCAB, np.bool_)

        def complete(self, output_ids: tuple[int, ...]) -> bool:
            raise InvalidGrammarError("no more")

    state = asked(GRAMMARS[0], 1, Sampling())
    first = ask(msgspec.structs.replace(state, grammar=None)).ids
    rows = np.stack([model(state.prompt_ids), model(state.prompt_ids + first)])
    said = verified(rows, Ask(state, first, constraint=Stuck()))
    assert said.ids == first and said.finish is None and isinstance(said.error, InvalidGrammarError)
