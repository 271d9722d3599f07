"""CloudTier against a scripted control plane: text and finish, refusals, broken links, cancellation, and local-only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import httpx
import msgspec
import pytest

from edge_agent.cloud import CloudTier, http_base
from edgewise.dialects.openai_errors import error_json
from edgewise.generation.grammar import InvalidGrammarError, json_grammar, regex_grammar
from edgewise.generation.state import GenerationState, Message, Sampling
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire.errors import EdgewiseError, TierLostError, TierRefusedError, TierRejectedError, UpstreamError

STATE = GenerationState(
    prompt_ids=(1, 2),
    messages=(Message("user", "Tell me about 北京"),),
    model="edgewise",
    max_tokens=50,
    seed=7,
    sampling=Sampling(temperature=0.5, logit_bias={3: 1.5}, repetition_penalty=1.2),
    stops=("END",),
)


class Blocks(httpx.AsyncByteStream):
    """A response body in given pieces; an exception among them breaks the link there."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class ControlPlane:
    """A stand-in behind httpx's mock transport that keeps what it was asked."""

    def __init__(self, reply: Callable[[], httpx.Response]) -> None:
        self.asked: list[httpx.Request] = []
        self._reply = reply
        self.tier = CloudTier("ws://cp:8080/node/v1/session", "ek_app", httpx.AsyncClient(transport=self.transport))

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._reply() if request.method == "POST" else httpx.Response(200, json={})


def event(**chunk: object) -> bytes:
    return b"id: s/1\ndata: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def said(text: str, finish: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


USAGE = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
DONE = b"data: [DONE]\n\n"


def streaming(*pieces: bytes | Exception) -> ControlPlane:
    headers = {"x-edgewise-stream-id": "stream-1", "content-type": "text/event-stream"}
    return ControlPlane(lambda: httpx.Response(200, headers=headers, stream=Blocks(*pieces)))


async def answer(plane: ControlPlane, state: GenerationState = STATE) -> list[Chunk]:
    return [chunk async for chunk in plane.tier.generate(state, "a1")]


async def test_a_grammar_goes_along_with_the_request() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    for grammar, form, regex in (
        (None, None, None),
        (json_grammar(schema), {"name": "answer", "schema": schema}, None),
        (regex_grammar("[一-龥]+"), None, "[一-龥]+"),
    ):
        plane = streaming(said("x", "stop"), DONE)
        await answer(plane, msgspec.structs.replace(STATE, grammar=grammar))
        asked = json.loads(plane.asked[0].content)
        assert asked.get("response_format", {}).get("json_schema") == form
        assert asked["edgewise"] == {"mode": "cloud"} | ({"regex": regex} if regex else {})


async def test_text_arrives_whole_and_ends_with_finish_and_usage() -> None:
    whole = said("") + said("北京") + said(" is") + said("", "length") + USAGE + DONE
    plane = streaming(*(whole[at : at + 7] for at in range(0, len(whole), 7)))
    assert await answer(plane) == [
        Chunk(0, (), "北京"),
        Chunk(0, (), " is"),
        Chunk(0, (), "", "length", Usage(9, 2)),
    ]
    assert plane.tier.load().running == 0
    assert [request.method for request in plane.asked] == ["POST"]


async def test_the_request_carries_every_sampling_field_and_asks_for_the_cloud() -> None:
    plane = streaming(said("x", "stop"), DONE)
    await answer(plane)
    request = plane.asked[0]
    body = json.loads(request.content)
    assert str(request.url) == "http://cp:8080/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer ek_app"
    assert body["edgewise"] == {"mode": "cloud"} and body["stream"] is True
    assert body["messages"] == [{"role": "user", "content": "Tell me about 北京"}]
    sent = {field: body.get(field, 0.0) for field in Sampling.__struct_fields__}
    assert sent == {**msgspec.structs.asdict(STATE.sampling), "logit_bias": {"3": 1.5}}
    assert (body["max_tokens"], body["seed"], body["stop"]) == (50, 7, ["END"])


async def test_a_state_that_must_stay_is_refused_before_anything_is_sent() -> None:
    plane = streaming(said("x", "stop"), DONE)
    with pytest.raises(TierRefusedError, match="may not leave"):
        await answer(plane, msgspec.structs.replace(STATE, local_only=True))
    assert plane.asked == []


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((said("a"),), UpstreamError),
        ((said("a"), DONE), UpstreamError),
        ((said("a"), httpx.ReadError("reset")), TierLostError),
        ((said("a"), event(error={"message": "worker died"}), DONE), UpstreamError),
        ((said("a"), b"data: {broken\n\n"), UpstreamError),
        ((b"data: " + b"\xff" * 9 + b"\n\n",), UpstreamError),
    ],
)
async def test_an_answer_that_breaks_is_an_error_and_what_came_stays(
    pieces: tuple[bytes | Exception, ...], error: type[EdgewiseError]
) -> None:
    plane = streaming(*pieces)
    got: list[Chunk] = []
    with pytest.raises(error):
        async for chunk in plane.tier.generate(STATE, "a1"):
            got.append(chunk)
    assert [chunk.text for chunk in got] == (["a"] if pieces[0] == said("a") else [])


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, b'{"error": {"message": "The policy refuses"}}', TierRefusedError),
        (401, b"{}", TierRefusedError),
        (429, b"slow down", TierRefusedError),
        (500, b"\xff\xfe", UpstreamError),
        (502, b'{"error": {"message": "bad gateway"}}', UpstreamError),
    ],
)
async def test_an_http_error_names_the_status_and_the_reason(
    status: int, body: bytes, error: type[EdgewiseError]
) -> None:
    plane = ControlPlane(lambda: httpx.Response(status, content=body))
    with pytest.raises(error, match=str(status)):
        await answer(plane)


def refused_by_the_plane() -> bytes:
    fault = InvalidGrammarError("It cannot be followed", where="regex", expected="b", remedy="change it")
    return error_json(fault.info())


@pytest.mark.parametrize(
    ("body", "number", "message"),
    [
        (refused_by_the_plane(), 1112, "It cannot be followed"),
        (b'{"error": {"message": "no"}}', 1100, "The control plane answered HTTP 400: no"),
        (b"\xff", 1100, "The control plane answered HTTP 400: \ufffd"),
    ],
    ids=["ours", "theirs", "none"],
)
async def test_a_request_at_fault_keeps_the_number_that_says_why(body: bytes, number: int, message: str) -> None:
    plane = ControlPlane(lambda: httpx.Response(400, content=body))
    with pytest.raises(TierRejectedError) as raised:
        await answer(plane)
    told = raised.value.info()
    assert (told.number, told.message, told.retryable) == (number, message, False)
    assert number != 1112 or (told.where, told.expected, told.remedy) == ("regex", "b", "change it")


async def test_an_unreachable_control_plane_is_a_lost_tier() -> None:
    def refuse() -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(TierLostError, match="ConnectError"):
        await answer(ControlPlane(refuse))


@pytest.mark.parametrize("told", [True, False])
async def test_leaving_early_cancels_the_answer_at_the_control_plane_once(told: bool) -> None:
    plane = streaming(said("a"), said("b"), said("", "stop"), DONE)
    chunks = plane.tier.generate(STATE, "a1")
    await anext(chunks)
    if told:
        await plane.tier.cancel("a1")
    await chunks.aclose()  # type: ignore[attr-defined]
    await plane.tier.settle()
    deleted = [str(request.url) for request in plane.asked if request.method == "DELETE"]
    assert deleted == ["http://cp:8080/v1/streams/stream-1"]


async def test_cancelling_what_is_unknown_does_nothing() -> None:
    plane = streaming(said("a", "stop"), DONE)
    await plane.tier.cancel("never")
    await answer(plane)
    await plane.tier.cancel("a1")
    await plane.tier.settle()
    assert [request.method for request in plane.asked] == ["POST"]


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("ws://h:1/node/v1/session", "http://h:1"),
        ("wss://h", "https://h"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_the_http_address_is_found_from_any_of_the_control_planes(url: str, base: str) -> None:
    assert http_base(url) == base
