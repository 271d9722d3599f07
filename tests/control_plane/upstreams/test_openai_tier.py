"""An upstream as a tier, against a real HTTP server on loopback that behaves and misbehaves as real ones do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context

import msgspec
import pytest

from control_plane.upstreams.http_client import HttpClient
from control_plane.upstreams.openai_tier import OpenAITier
from control_plane.upstreams.speech import Upstream
from edgewise.generation.state import GenerationState, Message, Sampling
from edgewise.observability.context import TraceContext, enter
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire.errors import ConfigError, TierError, TierRefusedError, TierTimeoutError, UpstreamError
from tests.factories.http_servers import Peer, chunked, http_server, response, until

STATE = GenerationState(
    prompt_ids=(),
    messages=(Message("user", "你好"),),
    model="m",
    max_tokens=9,
    seed=4,
    sampling=Sampling(temperature=0.5),
)


def delta(text: str) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}, ensure_ascii=False)


FINISH = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
USAGE = json.dumps({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})


class FakeUpstream:
    """Sends `lines` as events, byte by byte in odd pieces; or answers with `status`, or with a `whole` body."""

    def __init__(
        self,
        lines: list[str],
        status: int = 200,
        body: str = "",
        hang: bool = False,
        whole: str = "",
        headers: tuple[str, ...] = (),
    ) -> None:
        self.lines, self.status, self.body, self.hang, self.whole = lines, status, body, hang, whole
        self.headers = headers
        self.requests: list[dict[str, object]] = []
        self.heads: list[str] = []
        self.hung_up = asyncio.Event()

    async def script(self, peer: Peer) -> None:
        while True:
            head, body = await peer.request()
            self.requests.append(json.loads(body))
            self.heads.append(head)
            if self.status != 200 or self.whole:
                await peer.send(response((self.whole or self.body).encode(), *self.headers, status=f"{self.status} X"))
            else:
                await self._stream(peer)

    async def _stream(self, peer: Peer) -> None:
        stream = "".join(f"data: {line}\n\n" for line in self.lines).encode()
        wire = chunked(*(stream[start : start + 7] for start in range(0, len(stream), 7)))
        if self.hang:
            await peer.send(wire[:-5])
            await peer.gone()
            self.hung_up.set()
        await peer.send(wire)


@asynccontextmanager
async def tier_over(upstream: FakeUpstream) -> AsyncIterator[OpenAITier]:
    async with http_server(upstream.script) as server, HttpClient() as http:
        yield OpenAITier(Upstream("up", server.url(), "big", "sk-made-up"), http)


async def answer(upstream: FakeUpstream, state: GenerationState = STATE) -> list[Chunk]:
    async with tier_over(upstream) as tier:
        return [chunk async for chunk in tier.generate(state, "a")]


async def test_text_finish_and_usage_come_through() -> None:
    upstream = FakeUpstream([delta("你"), delta("好"), FINISH, USAGE, "[DONE]"])
    chunks = await answer(upstream)
    assert "".join(chunk.text for chunk in chunks) == "你好"
    assert chunks[-1].finish == "length"
    assert chunks[-1].usage == Usage(3, 2)
    sent = upstream.requests[0]
    assert (sent["model"], sent["max_tokens"], sent["seed"], sent["temperature"]) == ("big", 9, 4, 0.5)
    assert "\r\nauthorization: Bearer sk-made-up\r\n" in upstream.heads[0]


async def test_a_missing_done_is_forgiven_but_a_missing_finish_is_not() -> None:
    assert (await answer(FakeUpstream([delta("a"), FINISH])))[-1].finish == "length"
    with pytest.raises(UpstreamError, match="finish reason"):
        await answer(FakeUpstream([delta("a")]))


@pytest.mark.parametrize(
    ("upstream", "error", "says"),
    [
        (FakeUpstream([], 429, '{"error": {"message": "slow down"}}'), TierRefusedError, "slow down"),
        (FakeUpstream([], 408), TierRefusedError, "408"),
        (FakeUpstream([], 503, "no", headers=("content-encoding: br",)), TierRefusedError, "cannot be read: .*br"),
        (FakeUpstream([], 500, "<html>oops</html>"), UpstreamError, "oops"),
        (FakeUpstream([], 302, headers=("location: http://elsewhere/v1",)), UpstreamError, "redirect.*not followed"),
        (FakeUpstream([], 307), UpstreamError, "redirect, which is not followed"),
        (FakeUpstream([delta("a"), '{"error": {"message": "cuda gone"}}']), UpstreamError, "cuda gone"),
        (FakeUpstream(["not json"]), UpstreamError, "not a chat completion"),
    ],
)
async def test_its_faults_become_typed_tier_errors(upstream: FakeUpstream, error: type[TierError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        await answer(upstream)
    assert "http://" not in repr(caught.value.info()) and caught.value.where == "cloud:up"


async def test_where_a_redirect_leads_is_for_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UpstreamError):
        await answer(FakeUpstream([], 302, headers=("location: http://elsewhere/v1",)))
    assert "redirects to http://elsewhere/v1" in caplog.text


@pytest.mark.parametrize("whole", [False, True])
async def test_what_must_not_leave_is_refused_before_a_byte_is_sent(whole: bool) -> None:
    upstream = FakeUpstream([delta("a"), FINISH])
    state = msgspec.structs.replace(STATE, local_only=True)
    async with tier_over(upstream) as tier:
        with pytest.raises(TierRefusedError, match="may not leave"):
            await (tier.generate_whole(state, "a") if whole else anext(tier.generate(state, "a")))
        assert tier.load().running == 0
    assert upstream.requests == []


async def test_nobody_listening_is_a_tier_error() -> None:
    async with HttpClient() as http:
        tier = OpenAITier(Upstream("up", "http://127.0.0.1:9/v1", "big"), http)
        with pytest.raises(UpstreamError) as caught:
            await anext(tier.generate(STATE, "a"))
    assert "127.0.0.1" not in repr(caught.value.info())


async def test_leaving_early_hangs_up() -> None:
    upstream = FakeUpstream([delta("a")], hang=True)
    async with tier_over(upstream) as tier:
        chunks = tier.generate(STATE, "a")
        assert (await anext(chunks)).text == "a"
        await chunks.aclose()  # type: ignore[attr-defined]
        await upstream.hung_up.wait()
        assert tier.load().running == 0


async def test_no_connection_in_time_is_a_time_out() -> None:
    upstream = FakeUpstream([])
    async with http_server(upstream.script) as server, HttpClient(connect_timeout_s=0.05) as http:
        tier = OpenAITier(Upstream("up", server.url("https"), "big"), http)
        with pytest.raises(TierTimeoutError, match="within"):
            await anext(tier.generate(STATE, "a"))
        assert tier.load().running == 0


async def test_an_answer_that_breaks_off_is_an_upstream_error_after_what_it_said() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(chunked(f"data: {delta('half')}\n\n".encode())[:-5])

    async with http_server(script) as server, HttpClient() as http:
        chunks = OpenAITier(Upstream("up", server.url(), "big"), http).generate(STATE, "a")
        assert (await anext(chunks)).text == "half"
        with pytest.raises(UpstreamError, match="in the middle of the body"):
            await anext(chunks)


async def test_an_end_that_comes_after_done_keeps_the_connection() -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        events = "".join(f"data: {line}\n\n" for line in (delta("a"), FINISH, "[DONE]"))
        await peer.send(chunked(events.encode())[:-5])
        await left.wait()
        await peer.send(b"0\r\n\r\n")
        await peer.gone()

    async with http_server(script) as server, HttpClient() as http:
        tier = OpenAITier(Upstream("up", server.url(), "big"), http)
        assert [chunk.text async for chunk in tier.generate(STATE, "a")] == ["a", ""]
        left.set()
        pool = http.target("POST", server.url(), {}).pool
        await until(lambda: pool.open == pool.idle)
        assert pool.idle == 1


async def generate_within(tier: OpenAITier, trace: str) -> None:
    """In a trace of its own, or in none."""
    if trace:
        enter(TraceContext(trace, "b" * 16))
    assert [chunk async for chunk in tier.generate(STATE, "a")]


async def test_the_trace_goes_along() -> None:
    upstream = FakeUpstream([delta("a"), FINISH, "[DONE]"])
    async with tier_over(upstream) as tier:
        for trace in ("1" * 32, "2" * 32, ""):
            await asyncio.create_task(generate_within(tier, trace), context=Context())
    sent = [[line for line in head.split("\r\n") if line.startswith("traceparent")] for head in upstream.heads]
    assert sent == [[f"traceparent: 00-{'1' * 32}-{'b' * 16}-00"], [f"traceparent: 00-{'2' * 32}-{'b' * 16}-00"], []]


async def test_a_key_with_a_line_break_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAITier(Upstream("up", "http://x", "m", "sk-made-up\n"), HttpClient())
    assert "sk-made-up" not in str(caught.value)


def test_the_key_is_in_no_repr() -> None:
    assert "sk-made-up" not in repr(Upstream("up", "http://x", "m", "sk-made-up"))


async def test_an_answer_is_whole_at_done_whatever_the_server_does_then() -> None:
    upstream = FakeUpstream([delta("a"), FINISH, "[DONE]"], hang=True)
    async with asyncio.timeout(10):
        assert (await answer(upstream))[-1].finish == "length"


async def test_a_whole_answer_is_asked_for_without_a_stream() -> None:
    body = {"choices": [{"message": {"content": "你好"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    upstream = FakeUpstream([], whole=json.dumps(body))
    async with tier_over(upstream) as tier:
        assert tier.capabilities.whole
        chunk = await tier.generate_whole(STATE, "a")
        assert tier.load().running == 0
    assert chunk == Chunk(0, (), "你好", "stop", Usage(3, 0))
    assert upstream.requests[0]["stream"] is False


async def test_a_whole_answer_that_goes_on_says_the_white_space_at_its_seam_once() -> None:
    body = {"choices": [{"message": {"content": " two"}, "finish_reason": "stop"}]}
    async with tier_over(FakeUpstream([], whole=json.dumps(body))) as tier:
        assert (await tier.generate_whole(STATE.advanced((), "one "), "a")).text == "two"


async def test_its_faults_are_typed_in_one_piece_too() -> None:
    async with tier_over(FakeUpstream([], 429, '{"error": {"message": "slow down"}}')) as tier:
        with pytest.raises(TierRefusedError, match="slow down"):
            await tier.generate_whole(STATE, "a")
