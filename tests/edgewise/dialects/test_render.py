"""Rendering is a pure function of the records: same bytes on every replay, and shapes that OpenAI clients take."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edgewise.dialects.render import AnswerHeader, ChatRenderer, CompletionBuilder
from edgewise.dialects.sse import Event, SseParser
from edgewise.streams.entries import (
    CancelEntry,
    EndEntry,
    Entry,
    ErrorEntry,
    RetractEntry,
    RevisionEntry,
    TierEntry,
    Timings,
    TokensEntry,
    WarnEntry,
    encode_entry,
)
from edgewise.streams.log import Record
from edgewise.wire.errors import TierLostError

HEADER = AnswerHeader(
    sid="s1", created=7, model="edgewise", include_usage=True, mode="race", rule="else", reason="r", policy="p"
)
ANSWER: list[Entry] = [
    TierEntry("edge:a", "edge", "edgewise-edge", "v1", "chosen"),
    TokensEntry(0, (1, 2), "你"),
    TierEntry("cloud:w", "cloud", "edgewise-cloud", "v2", "continued"),
    TokensEntry(2, (3,), "好"),
    EndEntry("stop", 5, 3, Timings(0.25, 1.0, 4)),
]


def records(entries: list[Entry]) -> list[Record]:
    return [Record(seq, 1, encode_entry(entry)) for seq, entry in enumerate(entries)]


def events(entries: list[Entry], header: AnswerHeader = HEADER) -> list[Event]:
    renderer = ChatRenderer(header)
    return list(SseParser().feed(b"".join(renderer.render(record) for record in records(entries))))


def test_a_stream_is_role_text_finish_usage_done() -> None:
    *chunks, done = [event.data for event in events(ANSWER)]
    assert done == "[DONE]"
    decoded = [json.loads(chunk) for chunk in chunks]
    deltas = [chunk["choices"][0]["delta"] for chunk in decoded if chunk["choices"]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == "你好"
    assert [chunk["choices"][0]["finish_reason"] for chunk in decoded[:-1]] == [None] * 4 + ["stop"]
    assert decoded[-1]["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert all(chunk["usage"] is None for chunk in decoded[:-1])
    assert {chunk["id"] for chunk in decoded} == {"chatcmpl-s1"}


def test_the_model_named_is_the_one_that_speaks() -> None:
    models = [json.loads(event.data)["model"] for event in events(ANSWER)[:-1]]
    assert models == ["edgewise-edge"] * 2 + ["edgewise-cloud"] * 4


def test_a_cursor_stands_on_the_last_frame_of_each_record() -> None:
    renderer = ChatRenderer(HEADER)
    for record in records(ANSWER):
        block = renderer.render(record)
        assert block.count(b"id: ") == 1
        assert block.rindex(b"id: ") == block.rindex(f"id: s1/{record.seq}\n".encode())
        assert block.endswith(b"\n\n")


def test_replay_gives_the_same_bytes() -> None:
    first, second = ChatRenderer(HEADER), ChatRenderer(HEADER)
    assert [first.render(r) for r in records(ANSWER)] == [second.render(r) for r in records(ANSWER)]


def test_no_usage_field_unless_asked() -> None:
    from msgspec.structs import replace

    plain = events(ANSWER, replace(HEADER, include_usage=False))
    assert all("usage" not in json.loads(event.data) for event in plain[:-1])


def test_an_error_in_mid_stream_has_no_finish_reason() -> None:
    broken: list[Entry] = [*ANSWER[:2], ErrorEntry(TierLostError("gone").info()), EndEntry("error", 5, 2)]
    data = [event.data for event in events(broken)]
    assert data[-1] == "[DONE]"
    assert json.loads(data[-2])["error"]["code"] == "tier_lost"
    assert all(json.loads(chunk)["choices"][0]["finish_reason"] is None for chunk in data[:-2])


def test_every_entry_kind_renders() -> None:
    for entry in (WarnEntry("slow", "m"), RevisionEntry("t", "x"), RetractEntry(3, "w"), CancelEntry("client")):
        assert events([entry])


def test_the_whole_completion_is_the_sum_of_the_stream() -> None:
    builder = CompletionBuilder(HEADER)
    for record in records(ANSWER):
        builder.add(record)
    body = json.loads(builder.body())
    assert body["choices"][0]["message"]["content"] == "你好"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["model"] == "edgewise-cloud"
    assert body["usage"]["total_tokens"] == 8
    assert body["edgewise"]["first_token_ms"] == 250.0


def naive_text_chunk(header: AnswerHeader, model: str, text: str) -> bytes:
    """A chunk of text built from nothing, as the renderer's pre-encoded one must read."""
    chunk = {
        "id": f"chatcmpl-{header.sid}",
        "object": "chat.completion.chunk",
        "created": header.created,
        "model": model,
        "choices": [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}],
    }
    return msgspec.json.encode(chunk | ({"usage": None} if header.include_usage else {}))


WORDS = st.text(st.characters(blacklist_categories=["Cs"])) | st.sampled_from(
    ['"content":""', "你好", "\x00\x1f", "\\"]
)


@given(st.lists(st.tuples(st.booleans(), WORDS)), st.booleans())
def test_pre_encoded_text_is_the_chunk_built_from_nothing(steps: list[tuple[bool, str]], usage: bool) -> None:
    header = msgspec.structs.replace(HEADER, include_usage=usage, model='"content":""')
    renderer, model = ChatRenderer(header), header.model
    for seq, (moves, word) in enumerate(steps):
        entry: Entry = TierEntry("t", "edge", word, "", "continued") if moves else TokensEntry(0, (), word)
        (data,) = renderer.data(Record(seq, 1, encode_entry(entry)))
        model = word if moves else model
        if not moves:
            assert data == naive_text_chunk(header, model, word)
