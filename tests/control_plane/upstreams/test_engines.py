"""Answers of other engines: the same text, ids and finish out of every engine's stream, typed faults out of bad ones.

What each engine sends is in engines.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.upstreams.kinds import KINDS, KindName
from control_plane.upstreams.speech import IdSpeaker, Tokens, Upstream, speech_for
from edgewise.generation.state import GenerationState, Message
from edgewise.routing.attempt import Attempt
from edgewise.routing.foreign import Speaker, TextSpeaker, read_spoken
from edgewise.routing.handoff import with_ids
from edgewise.routing.tier import Chunk
from edgewise.wire.errors import (
    EdgewiseError,
    MessageTooLongError,
    TierRefusedError,
    TierTimeoutError,
    UpstreamError,
)
from tests.control_plane.upstreams.engines import TOKENIZER, Engine, chat, id_stream, text_completion, tier_for

END = 1
ANSWER = "你好，世界 and 😀 hello\n"
IDS = TOKENIZER.encode(ANSWER)
STATE = GenerationState(
    prompt_ids=(5, 6), messages=(Message("user", "hi"),), model="m", max_tokens=200, seed=4, eos_ids=(END,)
)
BY_IDS: tuple[KindName, ...] = ("vllm", "sglang", "trtllm", "edgewise")
IN_TEXT: tuple[KindName, ...] = ("openai", "vllm", "sglang", "tgi", "llama.cpp", "trtllm", "edgewise")


def pairs(ids: Sequence[int]) -> list[Sequence[int]]:
    """Two at a time, as engines that are quicker than their reader send them; odd ones split characters."""
    return [ids[start : start + 2] for start in range(0, len(ids), 2)]


async def one_by_one(events: Sequence[object]) -> AsyncIterator[bytes]:
    """Each event alone, which over a socket is a matter of chance."""
    for event in events:
        yield b"data: " + msgspec.json.encode(event) + b"\n\n"


async def answer(engine: Engine, kind: KindName, state: GenerationState = STATE, *, ids: bool = False) -> list[Chunk]:
    async with tier_for(engine, kind, ids=ids) as tier:
        return [chunk async for chunk in tier.generate(state, "a-1")]


def text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ids_of(chunks: Sequence[Chunk]) -> tuple[int, ...]:
    return tuple(token for chunk in chunks for token in chunk.ids)


@pytest.mark.parametrize("kind", IN_TEXT)
async def test_a_chat_is_read_from_every_engine(kind: KindName) -> None:
    engine = Engine(chat(kind, list(ANSWER), "stop"))
    chunks = await answer(engine, kind)
    assert (text(chunks), chunks[-1].finish) == (ANSWER, "stop")
    assert engine.asked[0][0] == "/v1/chat/completions"


@pytest.mark.parametrize("kind", BY_IDS)
async def test_ids_are_read_from_every_engine_that_tells_them(kind: KindName) -> None:
    engine = Engine(id_stream(kind, pairs(IDS), "stop", END))
    chunks = await answer(engine, kind, ids=True)
    assert (text(chunks), ids_of(chunks), chunks[-1].finish) == (ANSWER, IDS, "stop")
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == len(IDS)
    assert [chunk.n0 for chunk in chunks] == [sum(len(c.ids) for c in chunks[:n]) for n in range(len(chunks))]
    assert engine.asked[0][0] == "/v1/completions"


async def test_where_text_alone_comes_back_the_prompt_is_still_ours() -> None:
    engine = Engine(text_completion(list(ANSWER), "length"))
    chunks = await answer(engine, "llama.cpp", ids=True)
    assert (text(chunks), ids_of(chunks), chunks[-1].finish) == (ANSWER, (), "length")
    assert engine.asked[0] == ("/v1/completions", engine.asked[0][1] | {"prompt": [5, 6]})


@pytest.mark.parametrize("kind", BY_IDS)
async def test_an_answer_that_moves_at_any_token_is_the_same_to_the_last_byte(kind: KindName) -> None:
    """A first engine is lost behind each token in turn; the next one is asked for exactly what is missing."""
    for cut in range(len(IDS)):
        first = [chunk for chunk in await _until_lost(kind, IDS[:cut]) if chunk.ids]
        state = STATE
        for chunk in first:
            state = state.advanced(chunk.ids, chunk.text)
        engine = Engine(id_stream(kind, pairs(IDS[cut:]), "stop", END))
        rest = await answer(engine, kind, state, ids=True)
        assert text(first) + text(rest) == ANSWER
        assert ids_of(first) + ids_of(rest) == IDS and (not rest[0].ids or rest[0].n0 == cut)
        body = engine.asked[0][1]
        assert body["prompt"] + body.get("output_ids", []) == [5, 6, *IDS[:cut]]


async def _until_lost(kind: KindName, ids: Sequence[int]) -> list[Chunk]:
    chunks: list[Chunk] = []
    async with tier_for(
        Engine([*id_stream(kind, pairs(ids), "stop", None)[:-1], *_last(kind, ids)], done=False), kind, ids=True
    ) as tier:
        with pytest.raises(UpstreamError, match="finish reason"):
            async for chunk in tier.generate(STATE, "a-1"):
                chunks.append(chunk)
    return chunks


def _last(kind: KindName, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The last part of a stream that breaks off: without its finish."""
    if kind == "edgewise":
        return []
    events = id_stream(kind, pairs(ids), "stop", None)[-1:]
    for event in events:
        event["choices"][0]["finish_reason"] = None
    return events


async def test_a_text_engine_goes_on_behind_ids_and_an_id_engine_behind_text() -> None:
    half = STATE.advanced(TOKENIZER.encode("你好"), "你好")
    engine = Engine(chat("vllm", ["，世界"], "stop"))
    rest = await answer(engine, "vllm", half)
    assert engine.asked[0][1]["messages"][-1] == {"role": "assistant", "content": "你好"}
    state = half.advanced((), text(rest))
    assert state.output_ids == () and state.output_text == "你好，世界"
    engine = Engine(id_stream("vllm", [TOKENIZER.encode("!")], "stop", END))
    last = await answer(engine, "vllm", with_ids(state, TOKENIZER.encode), ids=True)
    assert text(last) == "!"
    assert engine.asked[0][1]["prompt"] == [5, 6, *TOKENIZER.encode("你好，世界")]


async def test_white_space_at_the_seam_is_said_once() -> None:
    state = STATE.advanced((), "one \n")
    assert text(await answer(Engine(chat("tgi", [" ", "\ntwo ", "three"], "stop")), "tgi", state)) == "two three"
    assert text(await answer(Engine(chat("tgi", ["two"], "stop")), "tgi", state)) == "two"


async def test_a_stop_string_over_two_engines_ends_the_answer_and_the_engine_is_told() -> None:
    state = msgspec.structs.replace(STATE, stops=("世界",)).advanced(TOKENIZER.encode("你好世"), "你好")
    engine = Engine(id_stream("vllm", pairs(TOKENIZER.encode("界 and on and on")), "length", None), hang=True)
    async with asyncio.timeout(10), tier_for(engine, "vllm", ids=True) as tier:
        chunks = [chunk async for chunk in tier.generate(state, "a-1")]
        await engine.hung_up.wait()
    assert (text(chunks), chunks[-1].finish) == ("", "stop")
    assert "stop" not in engine.asked[0][1]


@pytest.mark.parametrize("reason", ["abort", "error", "cancelled"])
async def test_an_answer_that_the_engine_gave_up_is_no_whole_answer(reason: str) -> None:
    with pytest.raises(UpstreamError, match=reason):
        await answer(Engine(chat("vllm", ["half"], reason)), "vllm")
    with pytest.raises(UpstreamError, match=reason):
        await answer(Engine(id_stream("sglang", [IDS[:2]], reason, None)), "sglang", ids=True)


@pytest.mark.parametrize(
    ("engine", "error", "says"),
    [
        (
            Engine(status=503, headers=("retry-after: 7",), body=b'{"error": {"message": "full"}}'),
            TierRefusedError,
            "full",
        ),
        (
            Engine(status=400, body=b'{"message": "the maximum context length is 5"}'),
            MessageTooLongError,
            "length is 5",
        ),
        (Engine(id_stream("vllm", [[9999]], "stop", None)), UpstreamError, "token id 9999"),
        (Engine(id_stream("vllm", [[-1]], "stop", None)), UpstreamError, "token id -1"),
        (Engine(id_stream("vllm", [[7] * 201], "stop", None)), UpstreamError, "more tokens"),
        (Engine(text_completion(["no ids"], "stop")), UpstreamError, "without its token ids"),
        (Engine(['{"choices": [{"token_ids": ["x"]}]}']), UpstreamError, "not a chat completion"),
        (Engine(['{"error": {"message": "The request queue is full.", "code": 503}}']), TierRefusedError, "queue"),
    ],
)
async def test_its_faults_are_typed(engine: Engine, error: type[EdgewiseError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        await answer(engine, "vllm", ids=True)
    assert caught.value.where == "cloud:up"
    assert caught.value.retry_after_s == (7.0 if engine.headers else None)


async def test_what_comes_behind_the_end_of_the_sequence_is_not_said() -> None:
    speaker = IdSpeaker(STATE, TOKENIZER, "cloud:up")
    events = id_stream("vllm", [[*IDS[:2], END, *IDS[2:4]], IDS[4:6]], "length", None)
    chunks = [chunk async for chunk in read_spoken(one_by_one(events), "cloud:up", speaker)]
    assert (ids_of(chunks), chunks[-1].finish) == (IDS[:2], "stop")


async def test_a_connection_that_dies_behind_the_end_of_the_sequence_changes_nothing() -> None:
    events = [*id_stream("vllm", pairs(IDS), "stop", None)[:-1], *_last("vllm", IDS)]
    events[-1]["choices"][0]["token_ids"].append(END)
    chunks = await answer(Engine(events, done=False), "vllm", ids=True)
    assert (text(chunks), ids_of(chunks), chunks[-1].finish) == (ANSWER, IDS, "stop")

    async def dies() -> AsyncIterator[bytes]:
        async for block in one_by_one(events):
            yield block
        raise UpstreamError("the connection is gone")

    speaker = IdSpeaker(STATE, TOKENIZER, "cloud:up")
    assert [chunk async for chunk in read_spoken(dies(), "cloud:up", speaker)][-1].finish == "stop"


@pytest.mark.parametrize(("counted", "finish"), [(2, "stop"), (1, "length")])
async def test_tokens_that_were_counted_and_not_told_are_missed(counted: int, finish: str) -> None:
    with pytest.raises(UpstreamError, match="ids of none"):
        await answer(_silent(counted, finish), "trtllm", ids=True)
    only_the_end = await answer(_silent(1, "stop"), "trtllm", ids=True)
    assert [chunk.finish for chunk in only_the_end] == ["stop"]


def _silent(counted: int, finish: str) -> Engine:
    said = {"choices": [{"text": "", "finish_reason": finish}]}
    return Engine([said, {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": counted}}])


async def test_ids_that_mean_another_text_here_are_no_answer() -> None:
    events = id_stream("vllm", pairs(TOKENIZER.encode("hello")), "stop", END)
    events[0]["choices"][0]["text"] = "goodbye"
    with pytest.raises(UpstreamError, match="another text") as caught:
        await answer(Engine(events), "vllm", ids=True)
    assert "token_ids" in caught.value.remedy


async def test_an_answer_that_had_come_to_its_stop_string_is_not_asked_for() -> None:
    state = msgspec.structs.replace(STATE, stops=("世",)).advanced(TOKENIZER.encode("你好世"), "你好")
    engine = Engine(id_stream("vllm", [IDS], "stop", END))
    chunks = await answer(engine, "vllm", state, ids=True)
    assert (text(chunks), [chunk.finish for chunk in chunks], engine.asked) == ("", ["stop"], [])


async def test_the_seam_of_a_prompt_in_ids_is_said_once() -> None:
    state = STATE.advanced((), "one ")
    engine = Engine(text_completion([" ", "two"], "stop"))
    assert text(await answer(engine, "llama.cpp", state, ids=True)) == "two"
    assert engine.asked[0][1]["prompt"] == [5, 6, *TOKENIZER.encode("one")]


def aborts(engine: Engine) -> list[dict[str, Any]]:
    return [body for path, body in engine.asked if path == "/abort_request"]


async def test_an_engine_that_can_be_told_to_stop_is_told_once() -> None:
    engine = Engine(chat("sglang", ["a"], "stop"), hang=True)
    async with asyncio.timeout(10), tier_for(engine, "sglang") as tier:
        chunks = tier.generate(STATE, "a-1")
        assert (await anext(chunks)).text == "a"
        await tier.cancel("a-1")
        await chunks.aclose()  # type: ignore[attr-defined]
        await asyncio.gather(engine.hung_up.wait(), tier.settle())
        await tier.cancel("a-1")
    assert engine.asked[0][1]["rid"] == "a-1"
    assert aborts(engine) == [{"rid": "a-1"}]


@pytest.mark.parametrize("way", ["stalls", "cancelled", "abandoned", "stopped"])
async def test_however_an_answer_is_left_the_engine_is_told(way: str) -> None:
    """As the runner leaves one: through an Attempt, whose iterator mostly ends before anybody says `cancel`."""
    engine = Engine(id_stream("sglang", pairs(IDS), "stop", END)[:-1], hang=True, done=False)
    state = msgspec.structs.replace(STATE, stops=("世",)) if way == "stopped" else STATE
    async with asyncio.timeout(10), tier_for(engine, "sglang", ids=True) as tier:
        attempt = Attempt(tier, state, "a-1")
        while (await attempt.next(5)).finish is None and len(attempt.state.output_ids) + attempt.tokens < len(IDS) - 2:
            pass
        if way == "stalls":
            with pytest.raises(TierTimeoutError):
                await attempt.next(0.01)
        if way == "cancelled":
            waiting = asyncio.create_task(attempt.next(None))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await attempt.abandon()
        await asyncio.gather(engine.hung_up.wait(), tier.settle())
        assert tier.load().running == 0
    assert aborts(engine) == [{"rid": "a-1"}]


async def test_an_engine_that_ended_by_itself_or_refused_is_told_nothing() -> None:
    for engine in (Engine(id_stream("sglang", pairs(IDS), "stop", END)), Engine(status=503)):
        async with tier_for(engine, "sglang", ids=True) as tier:
            attempt = Attempt(tier, STATE, "a-1")
            with suppress(TierRefusedError):
                while (await attempt.next(5)).finish is None:
                    pass
            await attempt.abandon()
            await tier.settle()
        assert aborts(engine) == []


async def test_a_whole_answer_that_nobody_waits_for_is_told_too() -> None:
    engine = Engine(chat("sglang", ["a"], "stop"), hang=True)
    async with asyncio.timeout(10), tier_for(engine, "sglang") as tier:
        attempt = Attempt(tier, STATE, "a-1", whole=True)
        with pytest.raises(TierTimeoutError):
            await attempt.next(0.05)
        await attempt.abandon()
        await asyncio.gather(engine.hung_up.wait(), tier.settle())
    assert aborts(engine) == [{"rid": "a-1"}]


ID = st.one_of(st.integers(0, 319), st.integers(-3, 400), st.just(2**70))
CHOICE = st.fixed_dictionaries(
    {},
    optional={
        "text": st.one_of(st.none(), st.text(max_size=4)),
        "token_ids": st.one_of(st.none(), st.lists(ID, max_size=4)),
        "delta": st.fixed_dictionaries({}, optional={"content": st.one_of(st.none(), st.text(max_size=4))}),
        "finish_reason": st.sampled_from([None, "stop", "length", "abort", "odd"]),
    },
)
EVENT = st.one_of(
    st.fixed_dictionaries({"choices": st.lists(CHOICE, max_size=2)}).map(msgspec.json.encode),
    st.binary(max_size=30),
    st.just(b"[DONE]"),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(events=st.lists(EVENT, max_size=6), size=st.integers(1, 60), ids=st.booleans())
async def test_whatever_bytes_come_there_are_right_chunks_and_one_end_or_one_typed_fault(
    events: list[bytes], size: int, ids: bool
) -> None:
    stream = b"".join(b"data: " + event + b"\n\n" for event in events)

    async def blocks() -> Any:
        for start in range(0, len(stream), size):
            yield stream[start : start + size]

    speaker: Speaker = IdSpeaker(STATE, TOKENIZER, "cloud:up") if ids else TextSpeaker(0)
    chunks: list[Chunk] = []
    try:
        async for chunk in read_spoken(blocks(), "cloud:up", speaker):
            chunks.append(chunk)
    except UpstreamError:
        assert all(chunk.finish is None for chunk in chunks)
    else:
        assert [chunk.finish is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(0 <= token < TOKENIZER.vocab_size for token in ids_of(chunks))
    if ids:
        whole = b"".join(map(TOKENIZER.token_bytes, ids_of(chunks))).decode("utf-8", errors="replace")
        assert whole.startswith(text(chunks))


def test_every_kind_can_be_spoken_with() -> None:
    for kind in KINDS.values():
        tokens = Tokens(TOKENIZER) if kind.prompt_ids else None
        speech = speech_for(Upstream("up", "http://x/v1", "m", kind=kind, tokens=tokens))
        assert speech.path.startswith("/") and speech.capabilities.models == ("m",)
