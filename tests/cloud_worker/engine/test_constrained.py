"""Grammars in the cloud engine: random weights say JSON of a schema; drafts, crowds, resumes and preemption change
nothing of it."""

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.speculation.drafting import Source
from cloud_worker.engine.speculation.speculator import Speculator
from edgewise.generation.grammar import InvalidGrammarError, json_grammar, regex_grammar
from edgewise.generation.grammar_masks import Grammars
from edgewise.generation.state import GenerationState, Sampling
from edgewise.node.engine import StepOutput
from edgewise.speculation import Drafter, NgramDrafter
from edgewise.wire.errors import UnsupportedParameterError
from tests.cloud_worker.engine.test_core import drain, ids_of, prompt, shared_model, state
from tests.cloud_worker.engine.test_exactness import Prophet
from tests.factories.decoders import tiny_decoder
from tests.factories.models import tiny_manifest
from tests.factories.states import GREEDY
from tests.factories.tokenizers import END_ID, tiny_tokenizer

SCHEMA = {
    "type": "object",
    "properties": {
        "who": {"type": "string", "pattern": "^[a-z你好世界]{1,6}$"},
        "mood": {"enum": ["good", "好", "bad"]},
        "scores": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 3},
        "sure": {"type": "boolean"},
    },
    "required": ["who", "mood", "scores", "sure"],
    "additionalProperties": False,
}
SAMPLINGS = (Sampling(), GREEDY, Sampling(temperature=1.4, top_p=0.9, top_k=30, presence_penalty=0.5))


@cache
def grammars() -> Grammars:
    return Grammars(tiny_tokenizer())


def engine(speculator: Speculator | None = None, blocks: int = 64, slots: int = 4) -> TorchEngine:
    decoder, options = tiny_decoder(shared_model(), blocks), EngineOptions(slots=slots, step_tokens=64)
    made = TorchEngine(decoder, tiny_manifest(256, (END_ID,)), options, speculator=speculator)
    made.grammars = grammars()
    return made


def asked(seed: int, grammar: str | None = None, **fields: Any) -> GenerationState:
    given: dict[str, Any] = {"seed": seed, "max_tokens": 200, "length": 5 + seed % 40}
    given["grammar"] = grammar or json_grammar(SCHEMA)
    return state(SAMPLINGS[seed % 3], **(given | fields))


def alone(given: GenerationState) -> list[StepOutput]:
    made = engine()
    made.submit("a", given)
    return drain(made)["a"]


def text_of(ids: Sequence[int]) -> str:
    return b"".join(tiny_tokenizer().token_bytes(token) for token in ids).decode()


def test_random_weights_say_json_of_the_schema() -> None:
    made = engine()
    for seed in range(15):
        made.submit(f"a{seed}", asked(seed))
    ended = 0
    for outputs in drain(made).values():
        assert [output.error for output in outputs] == [None] * len(outputs)
        if outputs[-1].finish == "stop":
            jsonschema.validate(msgspec.json.decode(text_of(ids_of(outputs))), SCHEMA)
            ended += 1
    assert ended >= 8  # the others go on with white space until their limit, which is `length`


@pytest.mark.parametrize("seed", [1, 3])
def test_cut_anywhere_it_goes_on_the_same_and_a_whole_one_is_over(seed: int) -> None:
    outputs = alone(asked(seed))
    whole, finish = ids_of(outputs), outputs[-1].finish
    made = engine()
    for cut in range(0, len(whole) + 1, 4):
        made.submit(f"a{cut}", asked(seed, output_ids=whole[:cut]))
    for name, rest in drain(made).items():
        cut = int(name[1:])
        assert (whole[:cut] + ids_of(rest), rest[-1].finish) == (whole, finish)


def test_drafts_preemption_and_company_change_nothing() -> None:
    """Drafts that are often right and sometimes impossible under the grammar, in an engine that is short of blocks."""
    chance = random.Random(5)
    given = {f"a{seed}": asked(seed, max_tokens=60) for seed in range(6)}
    given |= {f"p{seed}": asked(seed, regex_grammar("([a-z]+ )+[0-9]{3}"), max_tokens=50) for seed in range(3)}
    given |= {f"f{seed}": msgspec.structs.replace(asked(seed, max_tokens=30), grammar=None) for seed in range(3)}
    whole = {name: alone(each) for name, each in given.items()}
    expected = {name: ids_of(outputs) for name, outputs in whole.items()}
    for sources in ("prophet",), ("ngram", "prophet"):
        drafters: dict[str, Drafter] = {"prophet": Prophet(expected, chance), "ngram": NgramDrafter()}
        speculator = Speculator([Source(name, drafters[name]) for name in sources])
        made = engine(speculator, blocks=chance.choice((12, 24, 64)), slots=chance.choice((3, 8)))
        for name, each in given.items():
            made.submit(name, each)
        found = drain(made)
        assert {name: ids_of(outputs) for name, outputs in found.items()} == expected
        assert {name: found[name][-1].finish for name in found} == {name: whole[name][-1].finish for name in whole}
        assert "prophet" not in sources or made.stats().accepted > 20
        made.check_integrity()


def test_several_answers_to_one_prompt_each_follow_it_for_themselves() -> None:
    made = engine()
    for choice in range(3):
        made.submit(f"a{choice}", asked(3, prompt_ids=prompt(40), choice=choice))
    found = {ids_of(outputs) for outputs in drain(made).values()}
    assert len(found) == 3
    assert found == {ids_of(alone(asked(3, prompt_ids=prompt(40), choice=choice))) for choice in range(3)}


def test_a_grammar_that_is_complete_ends_as_stop_without_an_end_of_sequence_row() -> None:
    given = asked(1, regex_grammar("[0-9]{4}"), max_tokens=4)
    outputs = alone(given)
    assert len(text_of(ids_of(outputs))) == 4 and outputs[-1].finish == "stop"
    made = engine()
    for most in (4, 9):
        made.submit("over", msgspec.structs.replace(given, output_ids=ids_of(outputs), max_tokens=most))
        assert made.step() == [StepOutput("over", (), "stop")] and not made.stats().prompt_tokens
    assert alone(asked(1, regex_grammar("[0-9]{40}"), max_tokens=4))[-1].finish == "length"


def test_bad_grammars_and_answers_of_others_are_refused_to_that_request_alone() -> None:
    made = engine()
    made.submit("good", asked(1, max_tokens=9))
    for wrong in (
        asked(1, "root ::= 1"),
        asked(1, regex_grammar("(?=a)")),
        asked(1, json_grammar({"type": "blah"})),
        asked(1, output_ids=(70,)),
    ):
        with pytest.raises(InvalidGrammarError):
            made.submit("bad", wrong)
    assert ids_of(drain(made)["good"]) == ids_of(alone(asked(1, max_tokens=9)))
    made.check_integrity()
    made.grammars = None
    with pytest.raises(UnsupportedParameterError):
        made.submit("bad", asked(1))
