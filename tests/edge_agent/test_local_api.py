"""The local endpoint over a real model: answers offline and online, streams, who may ask, and what never leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.host import Link
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.admission import RETRY_AFTER_S
from edge_agent.runtime.engine import EngineOptions
from edgewise.dialects.sse import SseParser
from edgewise.graphs import DecoderGraph
from edgewise.wire.manifest import Manifest
from policies.library import seed_text
from tests.edge_agent.device import Device, running_device
from tests.factories.bundles import KEY, offered

HARD = "Tell me a story about a dragon and a castle, with three chapters. " * 3
_LOW_BATTERY = "lowBatteryPct: {type: double, default: 90.0"
NO_SUCH_MODEL = b'{"model":"gpt","messages":[{"role":"user","content":"x"}]}'
SECRETS = [
    ("My email is jane.doe@example.com, please remember it", {}),
    ("我的身份证号是11010519491231002X，请帮我写一封信", {}),
    ("nothing to see, or so one would think", {"edgewise": {"sensitivity": "secret", "mode": "cloud"}}),
    ("a diary of yesterday, raced all the same", {"edgewise": {"sensitivity": "personal", "mode": "race"}}),
]


@pytest.fixture
async def device(tiny_dir: Path, tmp_path: Path) -> AsyncIterator[Device]:
    async with running_device(tiny_dir, tmp_path / "data") as running:
        yield running


async def test_the_device_answers_by_itself_when_the_control_plane_is_gone(device: Device) -> None:
    device.link = Link()
    answer = (await device.ask(HARD, seed=5)).json()
    assert answer["edgewise"]["tier"] == "edge:phone-1" and answer["edgewise"]["rule"] == "offline"
    assert answer["usage"]["completion_tokens"] == 8 and answer["choices"][0]["finish_reason"] == "length"
    assert device.cloud.seen == []


async def test_the_same_question_gets_the_same_answer_also_as_a_stream(device: Device) -> None:
    device.link = Link()
    whole = (await device.ask("hello", seed=11)).json()["choices"][0]["message"]["content"]
    events = list(SseParser().feed((await device.ask("hello", seed=11, stream=True)).content))
    chunks = [json.loads(event.data) for event in events[:-1]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole != ""
    assert events[-1].data == "[DONE]"


async def test_a_low_battery_prefers_the_cloud_and_charging_lifts_it(device: Device) -> None:
    device.source.facts["device.battery_pct"] = 15.0
    assert (await device.ask(HARD)).json()["edgewise"]["rule"] == "low-battery"
    assert len(device.cloud.seen) == 1 and not device.cloud.seen[0].local_only
    device.source.facts["device.charging"] = True
    assert (await device.ask("hi")).json()["edgewise"]["rule"] != "low-battery"


async def test_a_policy_edited_while_it_runs_decides_the_next_request(device: Device) -> None:
    text = seed_text().replace("lowBatteryPct: {type: double, default: 20.0", _LOW_BATTERY)
    text = text[: text.index("  tests:")] + "  tests: []\n"
    await device.policies.take(offered(text), KEY)
    assert (await device.ask(HARD)).json()["edgewise"]["rule"] == "low-battery"


@pytest.mark.parametrize(("prompt", "more"), SECRETS)
async def test_a_sensitive_request_reaches_no_cloud_and_leaves_no_text(
    device: Device, prompt: str, more: dict[str, object]
) -> None:
    response = await device.ask(prompt, **more)
    assert response.json()["edgewise"]["tier"] == "edge:phone-1"
    await device.runner.drain(1.0)
    assert device.cloud.seen == []
    telemetry = msgspec.msgpack.encode(device.records()).decode("utf-8", errors="replace")
    said = response.json()["choices"][0]["message"]["content"]
    pieces = {prompt[at : at + 6] for at in range(len(prompt) - 5)} | {said}
    assert [piece for piece in pieces if piece in telemetry] == []
    assert [record.kind for record in device.records()] == ["decision", "answer"]


@pytest.mark.parametrize(("prompt", "more"), SECRETS)
async def test_not_even_a_policy_that_says_cloud_lets_it_go(
    device: Device, prompt: str, more: dict[str, object]
) -> None:
    text = (
        "apiVersion: edgewise/v1\nkind: RoutingPolicy\nmetadata: {name: careless}\nspec:\n  rules: []\n"
        "  default: {mode: cloud, fallback: edge, reason: always the cloud}\n"
        "  onError: {mode: edge, reason: error}\n"
    )
    await device.policies.take(offered(text), KEY)
    answer = (await device.ask(prompt, **more)).json()
    assert answer["edgewise"]["tier"] == "edge:phone-1"
    assert device.cloud.seen == []
    assert (await device.ask("what is the tallest mountain")).json()["edgewise"]["tier"] == "cloud:watched"


async def test_a_decision_record_tells_facts_and_reason_but_no_words_of_the_client(device: Device) -> None:
    await device.ask("hello", edgewise={"device": "leak this"}, user="leak this too")
    await device.runner.drain(1.0)
    decided, ended = device.records()
    assert decided.values["device.battery_pct"] == 80.0 and decided.values["request.origin"] == "device"
    assert (
        decided.values["mode"] and decided.values["rule"] and decided.values["policy"] == device.policies.policy_digest
    )
    assert ended.values["stream"] == decided.values["stream"] and ended.values["completion_tokens"] == 8
    assert "leak" not in repr(device.records())


async def test_a_stream_is_read_again_from_a_cursor_and_only_by_its_owner(device: Device) -> None:
    first = await device.ask("hello", stream=True)
    sid = first.headers["x-edgewise-stream-id"]
    assert (await device.http.get(f"/v1/streams/{sid}")).content == first.content
    tail = (await device.http.get(f"/v1/streams/{sid}?after={sid}/0")).content
    assert first.content.endswith(tail) and 0 < len(tail) < len(first.content)
    stranger = await device.http.get(f"/v1/streams/{sid}", headers={"authorization": "Bearer app-two"})
    assert stranger.status_code == 404 and stranger.json()["error"]["code"] == "stream_not_found"
    stopped = await device.http.delete(f"/v1/streams/{sid}")
    assert stopped.json()["status"] == "done"


async def test_models_and_health_are_told(device: Device) -> None:
    assert [model["id"] for model in (await device.http.get("/v1/models")).json()["data"]] == ["edgewise"]
    assert (await device.http.get("/healthz")).json()["name"] == "phone-1"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/nothing", b"", 404, "not_found"),
        ("PUT", "/v1/models", b"", 404, "not_found"),
        ("GET", "/v1/streams/a/b", b"", 404, "not_found"),
        ("GET", "/v1/streams/01m7z0wnmmpp8h6g96kt0vhy0j", b"", 404, "stream_not_found"),
        ("POST", "/v1/chat/completions", b"{", 400, "malformed_json"),
        ("POST", "/v1/chat/completions", b'{"model":"edgewise","messages":[]}', 400, "invalid_request"),
        (
            "POST",
            "/v1/chat/completions",
            NO_SUCH_MODEL,
            404,
            "model_not_found",
        ),
    ],
)
async def test_bad_input_gets_a_named_error(
    device: Device, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    response = await device.http.request(method, path, content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_a_conversation_that_is_too_long_is_refused_by_name(device: Device) -> None:
    response = await device.ask("x" * 600)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_what_this_devices_memory_has_no_room_for_is_answered_by_the_cloud_at_once(
    tiny_dir: Path, tmp_path: Path
) -> None:
    no_room = EngineOptions(memory_reserve_bytes=1 << 60)
    async with running_device(tiny_dir, tmp_path / "d", options=no_room) as device:
        answer = (await device.ask("hi")).json()
        assert answer["edgewise"]["tier"] == "cloud:watched"
        assert device.edge.load().running == 0 and len(device.cloud.seen) == 1


async def test_who_waited_and_finds_the_memory_gone_is_told_what_to_do_and_when(
    tiny_dir: Path, tmp_path: Path, tiny_manifest: Manifest
) -> None:
    graph, free = DecoderGraph.load(tiny_dir / "model.onnx"), 1 << 30
    options = EngineOptions(slots=1, memory_reserve_bytes=0)
    engine = OnnxEngine(tiny_manifest, graph, options, available=lambda: free)
    async with running_device(tiny_dir, tmp_path / "d", engine=engine) as device:
        device.link = Link()
        device.edge.retune(20.0)
        answers = [asyncio.create_task(device.ask("hello", max_tokens=40 + place)) for place in range(2)]
        while ((load := device.edge.load()).running, load.queued) != (1, 1):
            await asyncio.sleep(0.005)
        free = 0
        device.edge.retune(None)
        statuses = sorted([(await answer).status_code for answer in answers])
        refused = next(answer.result() for answer in answers if answer.result().status_code == 503)
    assert statuses == [200, 503]
    told = refused.json()["error"]
    assert told["code"] == "no_tier_available" and "memory" in told["message"] and "max_tokens" in told["remedy"]
    assert refused.headers["retry-after"] == f"{RETRY_AFTER_S:g}" and told["retry_after_s"] == RETRY_AFTER_S


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8090"}, 200),
        ({"host": "[::1]:8090"}, 200),
        ({"origin": "http://localhost:3000"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[bad"}, 403),
    ],
)
async def test_web_pages_cannot_talk_to_the_device(device: Device, headers: dict[str, str], status: int) -> None:
    assert (await device.http.get("/v1/models", headers=headers)).status_code == status


async def test_a_local_key_keeps_other_apps_out(tiny_dir: Path, tmp_path: Path) -> None:
    async with running_device(tiny_dir, tmp_path / "d", local_key="lk_right") as device:
        refused = await device.ask("hi")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        device.http.headers["authorization"] = "Bearer lk_right"
        assert (await device.ask("hi")).status_code == 200


async def test_apps_with_other_keys_find_nothing_of_each_others_chats(device: Device) -> None:
    """Whoever times first tokens learns nothing of what another app asked."""
    device.link, reused = Link(), list[int]()
    for key in ("app-one", "app-two", "app-one", "app-two"):
        before = device.edge._thread.stats.reused_tokens
        device.http.headers["authorization"] = f"Bearer {key}"
        told = {"salt": "00", "edgewise": {"mode": "edge"}}  # what a caller says of a salt is not heard
        assert (await device.ask("Who was it that asked this before?", **told)).status_code == 200
        reused.append(device.edge._thread.stats.reused_tokens - before)
    assert reused[:2] == [0, 0] and min(reused[2:]) > 30


async def test_a_request_that_is_no_http_is_left_alone(device: Device) -> None:
    async def nothing() -> dict[str, str]:
        raise AssertionError("not read")

    await device.app({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]


async def upgrade(device: Device, path: str = "/v1/streams", **headers: str) -> list[dict[str, Any]]:
    """What the device sends to a client that opens a WebSocket and goes away."""
    named = {"host": "127.0.0.1:8090", "authorization": "Bearer local"} | headers
    events: list[dict[str, Any]] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
    coming = iter(events)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(coming)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    scope = {"type": "websocket", "path": path, "headers": pairs, "extensions": {"websocket.http.response": {}}}
    await device.app(scope, receive, send)
    return sent


async def test_the_device_has_the_stream_socket_too(device: Device) -> None:
    accepted, hello = await upgrade(device)
    assert accepted["type"] == "websocket.accept"
    assert json.loads(str(hello["text"]))["type"] == "hello"


async def test_a_web_page_gets_no_socket(device: Device) -> None:
    assert (await upgrade(device, origin="https://evil.example"))[0]["status"] == 403
    assert (await upgrade(device, host="evil.example"))[0]["status"] == 403
    assert (await upgrade(device, path="/v1/other"))[0]["status"] == 404
