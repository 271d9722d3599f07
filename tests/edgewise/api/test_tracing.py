"""Trace ids as a client sees them: in chunks, completions and errors, the same from every reading, also resumed."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgewise.api.intake import Snapshot
from edgewise.api.service import AnswerService
from edgewise.dialects.chat import parse_chat_request
from edgewise.observability.context import parse_traceparent
from edgewise.observability.logs import formatter
from edgewise.observability.observer import Observer
from edgewise.routing.runner import Runner
from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.streams.tailer import TailerHub
from policies import Timeouts
from tests.edgewise.api.conftest import Api, ScriptedHost
from tests.edgewise.observability.records import Sink

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
CANARY = "canary-phrase-不要外传"


def chunks(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


async def ask(api: Api, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    body = {"model": "edgewise", "messages": [{"role": "user", "content": CANARY}]} | fields
    return await api.client.post("/v1/chat/completions", json=body, headers=Api.as_key("alice") | (headers or {}))


async def test_an_answer_names_the_trace_of_its_client(api: Api) -> None:
    whole = await ask(api, CLIENT)
    assert whole.json()["edgewise"]["trace"] == whole.headers["x-trace-id"] == TRACE
    stream = await ask(api, CLIENT, stream=True)
    told = [chunk["edgewise"]["trace"] for chunk in chunks(stream.text) if "trace" in chunk.get("edgewise", {})]
    assert told == [TRACE, TRACE]
    again = await api.read(stream.headers["location"])
    assert again.headers["x-trace-id"] == TRACE
    assert chunks(again.text) == chunks(stream.text)


async def test_an_answer_without_a_client_span_has_a_trace_of_its_own(api: Api) -> None:
    first, second = (await ask(api)).json()["edgewise"]["trace"], (await ask(api)).json()["edgewise"]["trace"]
    assert len(first) == len(second) == 32
    assert first != second


async def test_errors_name_their_trace_before_and_in_the_stream(api: Api) -> None:
    refused = await ask(api, CLIENT, model="gpt-99")
    assert refused.json()["error"]["trace"] == refused.headers["x-trace-id"] == TRACE
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=2)]
    api.host.decision = dataclasses.replace(api.host.decision, timeouts=Timeouts(total_s=0.05))
    broken = await ask(api, CLIENT, stream=True)
    (error,) = (chunk["error"] for chunk in chunks(broken.text) if "error" in chunk)
    assert error["trace"] == TRACE
    stranger = asyncio.create_task(api.read(broken.headers["location"]), context=contextvars.Context())
    assert chunks((await stranger).text) == chunks(broken.text)


async def test_what_was_said_is_in_no_log_line(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    api.host.scripted = [api.host.tier("edge:a", "edge", fails_at=0, error=ValueError(CANARY))]
    await ask(api, stream=True)
    await ask(api, messages=[{"role": CANARY, "content": CANARY}])
    await ask(api, max_tokens=CANARY)
    lines = [formatter("json").format(record) for record in caplog.records if record.name.startswith("edgewise")]
    assert lines
    assert [line for line in lines if CANARY in line or "canary" in line or "你" in line] == []


async def test_a_take_over_goes_on_in_the_trace(tmp_path: Path) -> None:
    log, host, sink = SqliteStreamLog(tmp_path / "log.sqlite3"), ScriptedHost(), Sink()
    caller = host.authenticate("Bearer alice")
    body = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}]}
    request = parse_chat_request(json.dumps(body).encode())

    def gateway(name: str) -> AnswerService:
        seen = Observer(sink=sink, sample_ratio=1.0)
        return AnswerService(host, log, TailerHub(log), Runner(log, holder=name, lease_s=0.05), observer=seen)

    first, second = gateway("first"), gateway("second")
    host.scripted = [host.tier("edge:a", "edge", hangs_at=1)]
    header = await first.begin(caller, request)
    await asyncio.sleep(0)
    await first._runner.drain(0.0)
    host.scripted = [host.tier("edge:a", "edge")]
    while not await log.expired():
        await asyncio.sleep(0.01)
    assert await second.resume(header.sid)
    async for _ in second.hub.follow(header.sid, -1):
        pass
    snapshot = msgspec.msgpack.decode(await log.request(header.sid), type=Snapshot)
    root = parse_traceparent(snapshot.header.trace)
    assert root is not None
    while not any(record.name.startswith("POST") for record in sink.spans):
        await asyncio.sleep(0.01)
    assert {record.context.trace_id for record in sink.spans} == {root.trace_id}
    (whole,) = (record for record in sink.spans if record.name.startswith("POST"))
    (takeover,) = (record for record in sink.spans if record.name == "edgewise.takeover")
    assert whole.context.span_id == root.span_id == takeover.parent_id
    await log.aclose()
