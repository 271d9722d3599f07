"""What each engine is asked: its own field names, ids where it takes them, and an answer that goes on at its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from control_plane.upstreams.kinds import KINDS, KindName
from control_plane.upstreams.speech import ChatSpeech, Tokens, Upstream, speech_for
from edgewise.generation.state import GenerationState, Message, Sampling
from edgewise.wire.errors import ConfigError
from tests.factories.tokenizers import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
STATE = GenerationState(
    prompt_ids=(5, 6, 7),
    messages=(Message("user", "hi"),),
    model="m",
    max_tokens=20,
    seed=4,
    sampling=Sampling(temperature=0.5, top_k=3, min_p=0.1, repetition_penalty=1.5, logit_bias={9: -2.0}),
    stops=("END",),
    eos_ids=(1,),
    tokenizer_digest=TOKENIZER.digest,
    salt=b"owner",
    rank=2,
)
SAID = msgspec.structs.replace(STATE, output_ids=TOKENIZER.encode("你好"), output_text="你好")
BY_IDS: tuple[KindName, ...] = ("vllm", "sglang", "trtllm", "edgewise")


def upstream(kind: KindName, *, ids: bool = False, **more: Any) -> Upstream:
    given = Upstream("up", "http://x/v1", "big", kind=KINDS[kind], tokens=Tokens(TOKENIZER, 64) if ids else None)
    return replace(given, **more)


def asked(kind: KindName, state: GenerationState = STATE, *, ids: bool = False, **more: Any) -> dict[str, Any]:
    speech = speech_for(upstream(kind, ids=ids, **more))
    told = msgspec.json.decode(msgspec.json.encode(speech.body(state, "a-1", stream=True)))
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("openai", {"repetition_penalty": 1.5}),
        ("tgi", {"repetition_penalty": 1.5}),
        ("vllm", {"top_k": 3, "min_p": 0.1}),
        ("sglang", {"top_k": 3, "min_p": 0.1, "rid": "a-1"}),
        ("llama.cpp", {"top_k": 3, "min_p": 0.1, "repeat_penalty": 1.5}),
        ("trtllm", {"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.5}),
        ("edgewise", {"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.5}),
    ],
)
def test_a_chat_says_what_the_engine_knows_in_its_words(kind: KindName, own: dict[str, Any]) -> None:
    body = asked(kind)
    openai = {"model": "big", "max_tokens": 20, "temperature": 0.5, "seed": 4, "stop": ["END"], "stream": True}
    assert body | openai | own == body
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert "priority" not in body


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_our_token_ids_go_nowhere_where_they_mean_nothing(kind: KindName) -> None:
    assert not {"stop_token_ids", "logit_bias"} & set(asked(kind))
    named = msgspec.structs.replace(STATE, tokenizer_digest="", eos_ids=())  # the client's ids, of the model it named
    assert ("logit_bias" in asked(kind, named)) == ("logit_bias" in KINDS[kind].fields)
    assert "stop_token_ids" not in asked(kind, named)
    if KINDS[kind].prompt_ids:
        shared = asked(kind, ids=True)
        assert ("logit_bias" in shared) == ("logit_bias" in KINDS[kind].fields)
        assert shared.get("stop_token_ids", [1]) == [1]


def test_what_one_engine_refuses_is_not_sent_to_it() -> None:
    assert asked("vllm")["top_p"] == 1.0
    assert "top_p" not in asked("tgi")  # "`top_p` must be > 0.0 and < 1.0"
    assert not {"cache_salt", "priority", "return_token_ids"} & set(asked("trtllm", ids=True))  # unknown: refused
    unlimited = msgspec.structs.replace(STATE, sampling=Sampling())
    assert [asked(kind, unlimited)["top_k"] for kind in ("vllm", "sglang", "llama.cpp", "trtllm")] == [0, -1, 0, 0]


@pytest.mark.parametrize("kind", BY_IDS)
def test_ids_go_in_and_are_asked_back(kind: KindName) -> None:
    speech = speech_for(upstream(kind, ids=True))
    body = asked(kind, ids=True)
    assert speech.path == "/completions" and not {"messages", "stop"} & set(body)
    assert body["stream_options"] == {"include_usage": True}
    assert body["prompt"] == [5, 6, 7]
    assert KINDS[kind].answer_ids.items() <= body.items() and KINDS[kind].answer_ids
    assert speech.capabilities.tokenizer_digest == TOKENIZER.digest
    assert speech.capabilities.continues and speech.capabilities.context_tokens == 64


def test_an_answer_goes_on_behind_its_last_id() -> None:
    body = asked("vllm", SAID, ids=True)
    assert body["prompt"] == [5, 6, 7, *SAID.output_ids]
    assert body["max_tokens"] == 20 - len(SAID.output_ids)
    ours = asked("edgewise", SAID, ids=True)
    assert (ours["prompt"], ours["output_ids"]) == ([5, 6, 7], list(SAID.output_ids))
    assert (ours["max_tokens"], ours["seed"]) == (20, 4)


def test_where_only_text_comes_back_it_goes_on_behind_the_text_that_was_shown() -> None:
    half = msgspec.structs.replace(SAID, output_ids=(*SAID.output_ids, *TOKENIZER.encode("世")[:1]))
    body = asked("llama.cpp", half, ids=True)
    assert body["prompt"] == [5, 6, 7, *TOKENIZER.encode("你好")]
    assert body["stop"] == ["END"]
    spaced = msgspec.structs.replace(SAID, output_text="ab cd \n")
    assert asked("llama.cpp", spaced, ids=True)["prompt"] == [5, 6, 7, *TOKENIZER.encode("ab cd")]
    blank = msgspec.structs.replace(SAID, output_text=" ")
    assert asked("llama.cpp", blank, ids=True)["prompt"] == [5, 6, 7]


def test_an_operator_knows_better_whether_it_goes_on_with_ids_too() -> None:
    told = {continues: speech_for(upstream("vllm", ids=True, continues=continues)) for continues in (None, True, False)}
    assert [speech.capabilities.continues for speech in told.values()] == [True, True, False]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_open_turn_is_told_as_the_engine_wants_it(kind: KindName) -> None:
    body = asked(kind, SAID)
    assert body["messages"][-1] == {"role": "assistant", "content": "你好"}
    assert KINDS[kind].continuation.items() <= body.items()
    able = {"vllm", "sglang", "tgi", "llama.cpp"}
    assert ChatSpeech(upstream(kind)).capabilities.continues == (kind in able)
    assert ChatSpeech(upstream(kind, continues=True)).capabilities.continues
    assert not ChatSpeech(upstream(kind, continues=False)).capabilities.continues


def test_white_space_at_the_seam_is_not_sent() -> None:
    spaced = msgspec.structs.replace(SAID, output_text="ab \n")
    assert asked("vllm", spaced)["messages"][-1]["content"] == "ab"
    blank = msgspec.structs.replace(SAID, output_text=" \n")
    assert asked("vllm", blank)["messages"] == [{"role": "user", "content": "hi"}]
    assert "continue_final_message" not in asked("vllm", blank)


def test_noise_that_begins_anew_gets_another_seed_for_each_place() -> None:
    seeds = {asked(kind, SAID, ids=True)["seed"] for kind in ("vllm", "sglang", "trtllm")}
    assert seeds != {4} and len(seeds) == 1
    assert asked("vllm", ids=True)["seed"] == 4
    for seed in (-1, -(2**63), 2**63 - 1, 2**64 - 1):
        odd = msgspec.structs.replace(STATE, seed=seed)
        assert 0 <= asked("vllm", odd)["seed"] < 2**63
        assert 0 <= asked("llama.cpp", odd)["seed"] < 2**31
        assert asked("edgewise", odd)["seed"] % 2**64 == seed % 2**64


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_choices_of_one_request_draw_unalike(kind: KindName) -> None:
    states = [msgspec.structs.replace(state, choice=choice) for state in (STATE, SAID) for choice in range(40)]
    seeds = [asked(kind, state)["seed"] for state in states]
    places = 1 if KINDS[kind].position_noise else 2
    assert len(set(seeds)) == 40 * places
    assert seeds[0] == 4


def test_callers_do_not_share_a_prefix_cache_and_the_salt_stays_here() -> None:
    one, other = (asked("vllm", msgspec.structs.replace(STATE, salt=salt))["cache_salt"] for salt in (b"a", b"b"))
    assert one != other and one == asked("sglang", msgspec.structs.replace(STATE, salt=b"a"))["cache_salt"]
    assert b"a".hex() != one
    assert "cache_salt" not in asked("vllm", msgspec.structs.replace(STATE, salt=b""))


def test_ranks_go_to_engines_that_serve_by_them() -> None:
    told = {kind: asked(kind, ranked=True).get("priority") for kind in KINDS}
    assert told == {
        "openai": None,
        "vllm": -2,
        "sglang": 2,
        "tgi": None,
        "llama.cpp": None,
        "trtllm": 0.5625,
        "edgewise": None,
    }


@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_ids_for_an_engine_that_takes_none_are_refused_in_words(kind: KindName) -> None:
    with pytest.raises(ConfigError, match="takes no token ids") as caught:
        speech_for(upstream(kind, ids=True))
    assert "vllm" in caught.value.expected and caught.value.remedy
