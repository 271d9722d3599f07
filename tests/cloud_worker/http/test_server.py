"""The worker's address: health, models, metrics, keys, web pages, clients that hang up, and leaving in order."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import openai
import pytest

from cloud_worker.http.metrics import kv_use, protocol_text
from edgewise.api.visits import ORPHAN_S
from edgewise.node.engine import EngineStats
from edgewise.node.scripted import ScriptedEngine
from edgewise.routing.tier import Load
from tests.cloud_worker.http.conftest import MODEL, WORDS, Running, Serve, words
from tests.factories.models import tiny_manifest

CHAT: Any = {"messages": [{"role": "user", "content": "hi"}]}
CHATS, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
SAMPLE = re.compile(r"^([a-z_:]+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def gated(**options: Any) -> ScriptedEngine:
    return ScriptedEngine(words, manifest=tiny_manifest(), gated=True, **options)


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def test_what_it_is_and_whether_it_is_well(serve: Serve) -> None:
    async with serve() as running:
        assert [each.id async for each in running.openai.models.list()] == [MODEL]
        for path in ("/health", "/healthz"):
            told = await running.http.get(path)
            assert told.status_code == 200 and told.json()["status"] == "ok"
            assert {name: told.json()[name] for name in ("running", "queued", "slots")} == {
                "running": 0,
                "queued": 0,
                "slots": 4,
            }
        lost = await running.http.get("/v1/embeddings")
        assert lost.status_code == 404 and "GET /health" in lost.json()["error"]["expected"]
        with pytest.raises(openai.NotFoundError, match="no model 'other'"):
            await running.complete(model="other")
        engine = running.engine
        engine.break_cancel = True
        engine.fail_next(RuntimeError("broken"), times=20)
        failed = await running.post(prompt="hi")
        assert failed.status_code == 503
        told = await running.http.get("/health")
        assert (told.status_code, told.json()["status"]) == (503, "failed")


async def test_metrics_have_the_names_that_a_gateway_s_scheduler_looks_for(serve: Serve) -> None:
    engine = gated(slots=1)
    async with serve(engine=engine) as running:
        asked = [asyncio.create_task(running.complete()) for _ in range(3)]
        await until(lambda: running.attempts == 3)
        engine.allow(2)
        await until(lambda: running.driver.load().queued == 2)
        page = (await running.http.get("/metrics")).text
        found = {name: float(value) for name, _, value in SAMPLE.findall(page) if name.startswith("vllm:")}
        assert (found["vllm:num_requests_running"], found["vllm:num_requests_waiting"]) == (1, 2)
        assert found["vllm:kv_cache_usage_perc"] == 1.0
        labels = {name: labels for name, labels, _ in SAMPLE.findall(page)}
        assert labels["vllm:num_requests_waiting"] == f'model_name="{MODEL}"'
        assert labels["vllm:lora_requests_info"] == 'max_lora="0",running_lora_adapters="",waiting_lora_adapters=""'
        assert "edgewise_streams_open 3" in page
        engine.open()
        await asyncio.gather(*asked)


def test_kv_use_is_a_share_of_what_there_is() -> None:
    assert kv_use(EngineStats(kv_bytes=25, kv_capacity_bytes=100, running=1)) == 0.25
    assert kv_use(EngineStats(running=2, slots=8)) == 0.25
    stats = EngineStats(prompt_tokens=10, reused_tokens=30, output_tokens=7, drafted=6, accepted=5)
    page = protocol_text('a"b', stats, Load(), 2.5).decode()
    found = {name: float(value) for name, _, value in SAMPLE.findall(page)}
    assert (found["vllm:prefix_cache_queries_total"], found["vllm:prefix_cache_hits_total"]) == (40, 30)
    assert found["vllm:lora_requests_info"] == 2.5 and 'model_name="a\\"b"' in page


async def test_with_a_key_nothing_is_told_without_it(serve: Serve) -> None:
    async with serve(http_key="hush") as running:
        for path, body in ((COMPLETIONS, {"prompt": "hi"}), (CHATS, CHAT), (CHATS, CHAT | {"n": 2})):
            refused = await running.post(path, **body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert (await running.http.get("/v1/models")).status_code == 401
        assert not running.engine.submitted
        running.http.headers["authorization"] = "Bearer hush"
        assert (await running.post(prompt="hi")).status_code == 200
        assert (await running.http.get("/metrics")).status_code == 200
        assert (await running.http.get("/health", headers={"host": "worker-0.example"})).status_code == 200


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
async def test_without_a_key_no_web_page_may_ask(serve: Serve, headers: dict[str, str]) -> None:
    async with serve() as running:
        refused = await running.http.post(COMPLETIONS, json={"model": MODEL, "prompt": "hi"}, headers=headers)
        assert refused.status_code == 403 and not running.engine.submitted


async def test_clients_with_other_keys_do_not_see_each_other_s_streams(serve: Serve) -> None:
    async with serve() as running:
        answered = await running.http.post(CHATS, json={"model": MODEL, **CHAT}, headers={"authorization": "Bearer a"})
        path = answered.headers["location"]
        assert (await running.http.get(path, headers={"authorization": "Bearer b"})).status_code == 404
        assert WORDS.split(",")[0] in (await running.http.get(path, headers={"authorization": "Bearer a"})).text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, {"prompt": "hi"}),
        (COMPLETIONS, {"prompt": "hi", "stream": True, "n": 3}),
        (CHATS, CHAT),
        (CHATS, CHAT | {"stream": True}),
        (CHATS, CHAT | {"n": 2}),
    ],
    ids=["completion", "streams", "chat", "chat-stream", "chats"],
)
async def test_a_client_that_hangs_up_frees_its_place_after_one_step(
    serve: Serve, path: str, body: dict[str, Any]
) -> None:
    engine = gated()
    async with serve(engine=engine) as running:
        asking = asyncio.create_task(read_some(running, path, body))
        await until(lambda: running.attempts == body.get("n", 1))
        engine.allow(2)
        await (asyncio.wait_for(asking, 20) if body.get("stream") else hang_up(asking))
        await until(lambda: running.door.runner.running == 0)
        engine.allow(2)
        await until(lambda: sorted(engine.cancelled) == sorted(engine.submitted))
        assert engine.stats().running == 0


async def read_some(running: Running, path: str, body: dict[str, Any]) -> None:
    """Read up to the first text, as far as the server gives any, and leave."""
    async with (
        httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=30) as client,
        client.stream("POST", path, json={"model": MODEL, **body}) as response,
    ):
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                return


async def hang_up(asking: asyncio.Task[None]) -> None:
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_the_answer_of_a_client_that_may_come_back_goes_on(serve: Serve) -> None:
    assert ORPHAN_S > 5, "else the answer below could end by itself"
    engine, key = gated(), {"idempotency-key": "k-1"}
    async with serve(engine=engine) as running:
        body = {"model": MODEL, **CHAT, "stream": True}
        asking = asyncio.create_task(running.http.post(CHATS, json=body, headers=key))
        await until(lambda: engine.submitted)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        engine.open()
        again = await running.http.post(CHATS, json=body, headers=key)
        assert again.headers["x-edgewise-replayed"] == "true" and "[DONE]" in again.text
        assert len(engine.submitted) == 1


async def test_a_full_queue_says_when_to_try_again(serve: Serve) -> None:
    engine = gated(slots=1)
    async with serve(engine=engine, max_queue=1) as running:
        asked = [asyncio.create_task(running.complete()) for _ in range(2)]
        await until(lambda: running.attempts == 2)
        refused = await running.post(prompt="hi")
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert "full" in refused.json()["error"]["message"]
        engine.open()
        assert [each.choices[0].text for each in await asyncio.gather(*asked)] == [WORDS] * 2


async def test_running_answers_end_before_it_leaves_and_nothing_new_begins(serve: Serve) -> None:
    engine = gated()
    async with serve(engine=engine) as running:
        asked = asyncio.create_task(running.complete())
        await until(lambda: engine.submitted)
        leaving = asyncio.create_task(running.door.leave(20))
        await until(lambda: running.door.app.leaving.begun)
        assert (await running.http.get("/health")).json()["status"] == "leaving"
        refused = await running.post(prompt="hi")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        engine.open()
        assert (await asked).choices[0].text == WORDS
        await leaving


@pytest.mark.parametrize(("path", "body"), [(COMPLETIONS, {"prompt": "hi"}), (CHATS, CHAT)], ids=["text", "chat"])
async def test_what_does_not_end_in_time_is_handed_back_and_goes_on_in_the_next_process(
    serve: Serve, path: str, body: dict[str, Any]
) -> None:
    engine = gated()
    async with serve(engine=engine) as running:
        asking = asyncio.create_task(running.post(path, **body, stream=True))
        await until(lambda: engine.submitted)
        engine.allow(3)
        await until(lambda: running.driver.stats.output_tokens >= 3)
        await running.door.leave(0.05)
        cut = await asking
        assert "shutting_down" in cut.text
        sid = cut.headers["x-edgewise-stream-id"]
        engine.open()
    async with serve() as running:
        found = await running.http.get(f"/v1/streams/{sid}", headers={"accept": "application/json"})
        assert found.json()["choices"][0]["message"]["content"] == WORDS
        assert len(running.engine.submitted) == 1


async def test_streams_in_memory_leave_no_file(serve: Serve, tmp_path: Any) -> None:
    async with serve(streams="memory") as running:
        assert (await running.complete()).choices[0].text == WORDS
        assert (await running.post(CHATS, **CHAT)).status_code == 200
    assert not [path for path in tmp_path.iterdir() if "sqlite" in path.name]
