"""An upstream as a tier, against a real HTTP server on loopback that behaves and misbehaves as real ones do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from control_plane.upstreams.openai_tier import OpenAITier, Upstream
from edgewise.generation.state import GenerationState, Message, Sampling
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire.errors import TierError, TierRefusedError, UpstreamError

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
        self, lines: list[str], status: int = 200, body: str = "", hang: bool = False, whole: str = ""
    ) -> None:
        self.lines, self.status, self.body, self.hang, self.whole = lines, status, body, hang, whole
        self.requests: list[dict[str, object]] = []
        self.keys: list[str] = []
        self.hung_up = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("authorization", ""))
        if self.status != 200:
            return web.Response(status=self.status, text=self.body)
        if self.whole:
            return web.Response(text=self.whole)
        response = web.StreamResponse()
        await response.prepare(request)
        stream = "".join(f"data: {line}\n\n" for line in self.lines).encode()
        for start in range(0, len(stream), 7):
            await response.write(stream[start : start + 7])
        try:
            if self.hang:
                await asyncio.Event().wait()
        finally:
            self.hung_up.set()
        return response


@asynccontextmanager
async def tier_over(upstream: FakeUpstream) -> AsyncIterator[OpenAITier]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as http:
            yield OpenAITier(Upstream("up", f"http://127.0.0.1:{port}/v1", "big", "sk-made-up"), http)
    finally:
        await runner.cleanup()


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
    assert upstream.keys == ["Bearer sk-made-up"]


async def test_a_missing_done_is_forgiven_but_a_missing_finish_is_not() -> None:
    assert (await answer(FakeUpstream([delta("a"), FINISH])))[-1].finish == "length"
    with pytest.raises(UpstreamError, match="finish reason"):
        await answer(FakeUpstream([delta("a")]))


@pytest.mark.parametrize(
    ("upstream", "error", "says"),
    [
        (FakeUpstream([], 429, '{"error": {"message": "slow down"}}'), TierRefusedError, "slow down"),
        (FakeUpstream([], 500, "<html>oops</html>"), UpstreamError, "oops"),
        (FakeUpstream([delta("a"), '{"error": {"message": "cuda gone"}}']), UpstreamError, "cuda gone"),
        (FakeUpstream(["not json"]), UpstreamError, "not a chat completion"),
    ],
)
async def test_its_faults_become_typed_tier_errors(upstream: FakeUpstream, error: type[TierError], says: str) -> None:
    with pytest.raises(error, match=says):
        await answer(upstream)


async def test_nobody_listening_is_a_tier_error() -> None:
    async with aiohttp.ClientSession() as http:
        tier = OpenAITier(Upstream("up", "http://127.0.0.1:9/v1", "big"), http)
        with pytest.raises(UpstreamError):
            await anext(tier.generate(STATE, "a"))


async def test_leaving_early_hangs_up() -> None:
    upstream = FakeUpstream([delta("a")], hang=True)
    async with tier_over(upstream) as tier:
        chunks = tier.generate(STATE, "a")
        assert (await anext(chunks)).text == "a"
        await chunks.aclose()  # type: ignore[attr-defined]
        await upstream.hung_up.wait()
        assert tier.load().running == 0


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
        chunks = [chunk async for chunk in tier.generate_whole(STATE, "a")]
        assert tier.load().running == 0
    assert chunks == [Chunk(0, (), "你好", "stop", Usage(3, 0))]
    assert upstream.requests[0]["stream"] is False


async def test_its_faults_are_typed_in_one_piece_too() -> None:
    async with tier_over(FakeUpstream([], 429, '{"error": {"message": "slow down"}}')) as tier:
        with pytest.raises(TierRefusedError, match="slow down"):
            await anext(tier.generate_whole(STATE, "a"))
