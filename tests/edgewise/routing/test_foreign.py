"""Reading a foreign engine's answer: however its events arrive, the same text, finish and usage come out of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.generation.state import GenerationState, Message
from edgewise.routing.foreign import ERROR_MAX_CHARS, chat_body, error_message, read_chunks, read_whole
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire.errors import UpstreamError

TEXT = st.text(st.characters(blacklist_categories=["Cs"])) | st.sampled_from(["你好", '"', "\x00\n", "[DONE]"])
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def said(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


async def read(stream: bytes, *cuts: int) -> list[Chunk]:
    async def blocks() -> AsyncIterator[bytes]:
        for a, b in pairwise(sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})):
            yield stream[a:b]

    return [chunk async for chunk in read_chunks(blocks(), "up", 7)]


@given(st.lists(TEXT), st.lists(st.integers(0, 2000)))
async def test_events_in_bulk_say_what_they_say_one_by_one(words: list[str], cuts: list[int]) -> None:
    stream = b"".join(map(said, words)) + event(FINISH) + event(USAGE) + b"data: [DONE]\n\n" + said("beyond")
    together, cut = await read(stream), await read(stream, *cuts)
    assert "".join(chunk.text for chunk in cut) == "".join(words) == "".join(chunk.text for chunk in together)
    assert together[-1] == cut[-1] == Chunk(7, (), "", "length", Usage(3, 2))
    assert len(together) <= 2
    assert all(chunk.text and chunk.finish is None for chunk in cut[:-1])


async def test_what_came_before_a_fault_in_the_same_block_is_said_first() -> None:
    chunks: list[Chunk] = []

    async def blocks() -> AsyncIterator[bytes]:
        yield said("a") + said("b") + event({"error": {"message": "cuda gone"}})

    with pytest.raises(UpstreamError, match="cuda gone"):
        async for chunk in read_chunks(blocks(), "up", 0):
            chunks.append(chunk)
    assert [chunk.text for chunk in chunks] == ["ab"]


async def test_a_fault_after_the_finish_changes_nothing() -> None:
    chunks = await read(said("a") + event(FINISH) + b"data: not json\n\n")
    assert [(chunk.text, chunk.finish) for chunk in chunks] == [("a", None), ("", "length")]


async def test_a_stream_without_an_end_of_an_event_is_a_fault_of_the_engine() -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield said("a")
        while True:
            yield b"x" * 65_536

    chunks = read_chunks(blocks(), "up", 0)
    assert (await anext(chunks)).text == "a"
    with pytest.raises(UpstreamError, match="no end"):
        await anext(chunks)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "full", "code": 503}}, "full"),
        ({"error": "Model is overloaded", "error_type": "overloaded"}, "Model is overloaded"),
        ({"object": "error", "message": "too long", "code": 400}, "too long"),
        ({"detail": "x"}, '{"detail": "x"}'),
        ({"error": {"message": "x" * 999}}, "x" * ERROR_MAX_CHARS),
    ],
)
def test_an_error_is_read_in_whatever_shape_it_comes(body: object, message: str) -> None:
    assert error_message(json.dumps(body).encode()) == message


def test_a_whole_answer_is_one_chunk() -> None:
    body = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "你好"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    assert read_whole(json.dumps(body).encode(), "up", 4) == Chunk(4, (), "你好", "stop", Usage(3, 2))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "not a chat completion"),
        (b'{"error": {"message": "slow down"}}', "slow down"),
        (b'{"choices": []}', "finish reason"),
        (b'{"choices": [{"message": {"content": "a"}}]}', "finish reason"),
    ],
)
def test_what_is_no_whole_answer_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(UpstreamError, match=says):
        read_whole(body, "up", 0)


def test_usage_is_asked_for_where_it_would_not_come_by_itself() -> None:
    state = GenerationState(prompt_ids=(), messages=(Message("user", "a"),), model="m", max_tokens=1, seed=1)
    assert chat_body(state, "m")["stream_options"] == {"include_usage": True}
    assert "stream_options" not in chat_body(state, "m", stream=False)
