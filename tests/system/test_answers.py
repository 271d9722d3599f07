"""Answers from real models through the whole stack, with the stock openai client as its users use it."""

import asyncio
import re
from typing import Any

import httpx
import openai
import pytest

from benchmarks.stack import Stack
from tests.system.reading import ENDLESS, ask, replay

pytestmark = pytest.mark.system
HELLO: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]


@pytest.fixture
def client(stack: Stack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{stack.base_url}/v1", api_key=stack.keys["app"], max_retries=0)


@pytest.mark.parametrize(("mode", "tier"), [("edge", "edge:edge-0"), ("cloud", "cloud:worker-0")])
def test_a_whole_answer_from_each_tier(client: openai.OpenAI, mode: str, tier: str) -> None:
    answer = client.chat.completions.create(
        model="edgewise", messages=HELLO, max_tokens=20, extra_body={"edgewise": {"mode": mode}}
    )
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.model_extra is not None
    assert answer.model_extra["edgewise"]["tier"] == tier
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("mode", ["edge", "cloud", "prefer-edge", "prefer-cloud", "race"])
def test_a_streamed_answer_in_every_mode(client: openai.OpenAI, mode: str) -> None:
    stream = client.chat.completions.create(
        model="edgewise",
        messages=HELLO,
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"edgewise": {"mode": mode}} | ENDLESS,
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20
    meta = chunks[0].model_extra or {}
    assert meta["edgewise"]["mode"] == mode


async def test_the_async_client_and_many_at_once(stack: Stack) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stack.base_url}/v1", api_key=stack.keys["app"]) as client:

        async def one(seed: int) -> str:
            answer = await client.chat.completions.create(
                model="edgewise", messages=HELLO, max_tokens=16, seed=seed, temperature=1.0
            )
            return answer.choices[0].message.content or ""

        first, again = await asyncio.gather(*map(one, range(6))), await asyncio.gather(*map(one, range(6)))
    assert len(first) == len(again) == 6


def test_a_seed_makes_sampling_repeatable(stack: Stack) -> None:
    wish: dict[str, Any] = {"seed": 11, "temperature": 1.5, "max_tokens": 30, "edgewise": {"mode": "cloud"}} | ENDLESS
    assert ask(stack, **wish).text == ask(stack, **wish).text


def test_a_stream_reads_the_same_again_and_from_every_cursor(stack: Stack) -> None:
    reading = ask(stack, max_tokens=12, **ENDLESS)
    assert replay(stack, reading.sid) == reading
    half = reading.cursors[len(reading.cursors) // 2]
    rest = replay(stack, reading.sid, half)
    seen = reading.cursors.index(half)
    assert rest.chunks == reading.chunks[seen + 1 :]


def test_a_cancel_holds(stack: Stack) -> None:
    cancelled: list[int] = []

    def cancel(seen: object) -> None:
        if not cancelled:
            cancelled.append(1)
            headers = {"authorization": f"Bearer {stack.keys['app']}"}
            answer = httpx.delete(f"{stack.base_url}/v1/streams/{seen.sid}", headers=headers)  # type: ignore[attr-defined]
            cancelled.append(answer.json()["last_seq"])

    reading = ask(stack, cancel, max_tokens=900, **ENDLESS)
    assert reading.done == 1
    last = int(reading.cursors[-1].split("/")[1])
    assert last == cancelled[1]
    assert replay(stack, reading.sid) == reading


def test_stop_strings_and_the_sdk_error_types(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model"):
        client.chat.completions.create(model="gpt-99", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="tokens"):
        client.chat.completions.create(model="edgewise", messages=[{"role": "user", "content": "many words " * 2000}])
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="ek_wrong").models.list()
    assert next(model.id for model in client.models.list()) == "edgewise"


def test_the_decision_is_recorded_without_text(stack: Stack) -> None:
    reading = ask(stack, messages=[{"role": "user", "content": "zebra-in-a-made-up-hat"}], max_tokens=5)
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}
    answer = httpx.get(f"{stack.base_url}/admin/v1/decisions/{reading.sid}", headers=headers)
    record = answer.json()
    assert record["status"] == "done"
    assert record["facts"]["request.origin"] == "control_plane"
    assert "zebra" not in answer.text
    assert "zebra" not in stack.log_tails()


def test_the_documentation_page_works_without_the_internet(stack: Stack) -> None:
    with httpx.Client(base_url=stack.base_url) as client:
        page = client.get("/docs").text
        assets = set(re.findall(r'(?:src|href)="([^"]+)"', page)) | set(re.findall(r"url: '([^']+)'", page))
        assert assets
        for asset in assets:
            assert asset.startswith("/"), asset
            assert client.get(asset).status_code == 200, asset
        paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/chat/completions", "/v1/streams/{sid}", "/v1/models", "/readyz"} <= set(paths)


def test_probes(stack: Stack) -> None:
    ready = httpx.get(f"{stack.base_url}/readyz")
    assert ready.status_code == 200
    assert ready.json()["parts"] == {"token_log": "ok", "database": "ok"}
    assert httpx.get(f"{stack.base_url}/healthz").json()["status"] == "ok"
