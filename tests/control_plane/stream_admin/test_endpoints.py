"""/admin/v1/streams against a running control plane: open and ended ones, one in detail, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewise.routing.scripted import Script
from tests.control_plane.nodes.test_administration import node, until
from tests.factories.control import WORDS, Control, own_log_server, running_control

URL = "/admin/v1/streams"


def question(text: str) -> dict[str, Any]:
    return {"model": "edgewise", "messages": [{"role": "user", "content": text}], "edgewise": {"mode": "cloud"}}


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    with own_log_server() as log_url:
        async with running_control(tmp_path, log_url) as running:
            yield running


async def test_open_and_ended_streams_are_listed_in_one_order(control: Control) -> None:
    gate = asyncio.Event()
    script = Script(words=WORDS, gate=gate)
    async with (
        control.client() as client,
        control.client(control.keys.app) as app,
        node(control, "cloud", "worker-0", script),
    ):
        gate.set()
        ended = [await app.post("/v1/chat/completions", json=question(str(n))) for n in range(3)]
        gate.clear()
        running = asyncio.create_task(app.post("/v1/chat/completions", json=question("now")))
        await until(lambda: control.plane.runner.running == 1)
        ids = [answer.headers["x-edgewise-stream-id"] for answer in ended]
        found = (await client.get(URL)).json()["items"]
        assert [each["state"] for each in found] == ["open", "done", "done", "done"]
        assert [each["stream_id"] for each in found[1:]] == ids[::-1]
        pages: list[str] = []
        after: str | None = None
        while True:
            page = (await client.get(URL, params={"limit": 1} | ({"after": after} if after else {}))).json()
            pages += [each["stream_id"] for each in page["items"]]
            if (after := page["next"]) is None:
                break
        assert pages == [each["stream_id"] for each in found]
        only = (await client.get(URL, params={"state": "open", "tenant": "default"})).json()["items"]
        assert [each["stream_id"] for each in only] == [found[0]["stream_id"]]
        assert (await client.get(URL, params={"state": "done", "key": "nobody"})).json()["items"] == []
        stopped = await client.delete(f"{URL}/chatcmpl-{only[0]['stream_id']}")
        assert (stopped.status_code, stopped.json()["status"]) == (200, "cancelled")
        assert (await running).json()["edgewise"]["cancelled"] is True
        audit = (await client.get("/admin/v1/audit", params={"action": "stream.cancel"})).json()["items"]
        assert [entry["target"] for entry in audit] == [f"stream/{only[0]['stream_id']}"]


async def test_text_is_shown_only_on_request_and_that_is_audited(control: Control) -> None:
    async with control.client() as client, control.client(control.keys.app) as app, node(control, "cloud", "w"):
        said = await app.post("/v1/chat/completions", json=question("hello"))
        sid = said.headers["x-edgewise-stream-id"]
        plain = (await client.get(f"{URL}/{sid}")).json()
        assert (plain["text"], plain["state"], plain["tiers"]) == (None, "done", ["cloud:w"])
        assert plain["decision"]["mode"] == "cloud" and plain["head"]["owner"] == plain["decision"]["key_id"]
        assert (await client.get("/admin/v1/audit", params={"action": "stream"})).json()["items"] == []
        whole = (await client.get(f"{URL}/{sid}", params={"include_text": True})).json()
        assert whole["text"] == "".join(WORDS)
        (entry,) = (await client.get("/admin/v1/audit", params={"action": "stream"})).json()["items"]
        assert (entry["action"], entry["target"]) == ("stream.read_text", f"stream/{sid}")
        assert "".join(WORDS) not in str(entry)


async def test_what_is_no_stream_is_not_found(control: Control) -> None:
    async with control.client() as client:
        for sid in ("nothing", "0" * 26):
            for method in ("GET", "DELETE"):
                answer = await client.request(method, f"{URL}/{sid}")
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "stream_not_found"), (method, sid)
