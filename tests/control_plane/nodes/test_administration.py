"""Drain, labels and forgetting, over HTTP against a running control plane with scripted nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import websockets

from edgewise.node.link import NodeLink
from edgewise.routing.scripted import Script
from edgewise.routing.tier import TierKind
from edgewise.wire.errors import TierRefusedError
from tests.factories.control import WORDS, Control, own_log_server, running_control, scripted_link
from tests.factories.states import make_state

ASK = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}]}
NODES = "/admin/v1/nodes"


async def until(condition: Callable[[], bool]) -> None:
    """The test's own time-out is the limit."""
    while not condition():
        await asyncio.sleep(0.01)


@asynccontextmanager
async def node(control: Control, kind: TierKind, node_id: str, script: Script | None = None) -> AsyncIterator[NodeLink]:
    link = scripted_link(control, kind, node_id, script)
    task = asyncio.create_task(link.run())
    try:
        await link.connected.wait()
        yield link
    finally:
        await link.stop()
        await task


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    with own_log_server() as log_url:
        async with running_control(tmp_path, log_url) as running:
            yield running


def ids(control: Control, kind: TierKind) -> list[str]:
    return [tier.node_id for tier in control.plane.registry.tiers(kind)]


async def ask(client: httpx.AsyncClient, **edgewise: Any) -> Any:
    return (await client.post("/v1/chat/completions", json=ASK | {"edgewise": edgewise})).json()


async def test_a_drained_node_ends_its_answer_gets_no_other_and_leaves(control: Control) -> None:
    gate = asyncio.Event()
    async with control.client() as client, node(control, "cloud", "worker-0", Script(words=WORDS, gate=gate)) as link:
        running = asyncio.create_task(ask(client, mode="cloud"))
        await until(lambda: bool(control.plane.registry.snapshot()[0].open_attempts))
        held = control.plane.registry.get("worker-0")
        assert (await client.post(f"{NODES}/worker-0/drain")).json()["drained"] is True
        assert held is not None
        with pytest.raises(TierRefusedError, match="drained"):  # a runner that chose it a moment before
            await anext(held.generate(make_state(), "attempt"))
        refused = await ask(client, mode="cloud")
        assert refused["error"]["code"] == "no_tier_available"
        assert link.connected.is_set()
        gate.set()
        assert (await running)["choices"][0]["message"]["content"] == "".join(WORDS)
        await until(lambda: not control.plane.registry.snapshot())
        away = (await client.get(NODES)).json()["away"]
        assert [(each["node_id"], each["wish"]["drained"]) for each in away] == [("worker-0", True)]


async def test_a_drained_node_stays_drained_over_reconnects_until_it_is_taken_back(control: Control) -> None:
    async with control.client() as client:
        await client.put(f"{NODES}/worker-0/labels", json={"labels": {"room": "a"}})
        await client.post(f"{NODES}/worker-0/drain")
        await control.plane.node_administration.wishes.load()
        async with node(control, "cloud", "worker-0"):
            assert ids(control, "cloud") == []
            shown = (await client.get(f"{NODES}/worker-0")).json()
            assert (shown["wish"]["drained"], shown["labels"]) == (True, {"shared": "true", "room": "a"})
            await client.delete(f"{NODES}/worker-0/drain")
            assert ids(control, "cloud") == ["worker-0"]
            assert (await ask(client, mode="cloud"))["edgewise"]["tier"] == "cloud:worker-0"


async def test_an_operators_label_decides_who_is_shared(control: Control) -> None:
    async with control.client() as client, node(control, "edge", "phone"):
        assert (await ask(client, mode="edge"))["edgewise"]["tier"] == "edge:phone"
        await client.put(f"{NODES}/phone/labels", json={"labels": {"shared": "false"}})
        alone = await ask(client, mode="edge")
        assert alone.get("edgewise", {}).get("tier") != "edge:phone"
        await client.put(f"{NODES}/phone/labels", json={"labels": {}})
        assert (await ask(client, mode="edge"))["edgewise"]["tier"] == "edge:phone"


async def test_forgetting_needs_a_node_that_is_away_or_force(control: Control) -> None:
    async with control.client() as client, node(control, "edge", "phone"):
        await client.put(f"{NODES}/phone/labels", json={"labels": {"room": "b"}})
        refused = await client.delete(f"{NODES}/phone")
        assert (refused.status_code, "force" in refused.json()["error"]["remedy"]) == (409, True)
        gone = await client.delete(f"{NODES}/phone", params={"force": True})
        assert gone.status_code == 200
        assert (await client.get(NODES)).json() == {"items": [], "away": []}
        assert (await client.get(f"{NODES}/phone/telemetry")).json()["items"] == []


async def test_an_unknown_node_cannot_be_drained(control: Control) -> None:
    async with control.client() as client:
        assert (await client.post(f"{NODES}/nobody/drain")).status_code == 404
        assert (await client.post(f"{NODES}/..%2Fetc/drain")).status_code in {404, 422}


async def test_a_wanted_version_is_told_and_shown(control: Control) -> None:
    manifest = control.manifests["edge"]
    async with control.client() as client:
        other = msgspec.to_builtins(manifest) | {"recipe": "newer"}
        made = (await client.post("/admin/v1/models", json=other)).json()
        await client.post(f"/admin/v1/models/{made['id']}/activate", json={"required": True})
        async with node(control, "edge", "phone"):
            shown = (await client.get(f"{NODES}/phone")).json()
            assert shown["wanted_models"] == {manifest.name: made["id"]}
            refused = await ask(client, mode="edge")
            assert refused["error"]["code"] == "no_tier_available"
            await client.post("/admin/v1/models/deactivate", json={"name": manifest.name, "tier": "edge"})
            assert (await ask(client, mode="edge"))["edgewise"]["tier"] == "edge:phone"


async def test_a_live_socket_falls_when_its_key_expires(control: Control) -> None:
    async with control.client() as client:
        soon = (datetime.now(UTC) + timedelta(seconds=1.0)).isoformat()
        made = await client.post("/admin/v1/keys", json={"name": "n", "roles": ["node"], "expires_at": soon})
        brief = Control(control.plane, control.url, _with_node_key(control, made.json()["key"]), control.manifests)
        async with node(brief, "edge", "phone"):
            assert ids(control, "edge") == ["phone"]
            await until(lambda: not ids(control, "edge"))


def _with_node_key(control: Control, key: str) -> Any:
    return msgspec.structs.replace(control.keys, node=key)


async def test_a_clients_socket_falls_with_the_secret_that_opened_it(control: Control) -> None:
    async with control.client() as client:
        listed = (await client.get("/admin/v1/keys")).json()["items"]
        key_id = next(item["id"] for item in listed if item["roles"] == ["app"])
        url = control.url.replace("http://", "ws://") + "/v1/streams"
        headers = {"authorization": f"Bearer {control.keys.app}"}
        async with websockets.connect(url, additional_headers=headers, proxy=None) as socket:
            await client.post(f"/admin/v1/keys/{key_id}/rotate", json={"overlap_s": 600})
            assert control.plane.stream_socket.sessions == 1
            await client.post(f"/admin/v1/keys/{key_id}/rotate", json={"overlap_s": 600})
            await socket.wait_closed()
            assert socket.close_code not in (1000, 1006)


async def test_the_socket_of_a_rotated_secret_falls_at_the_end_of_the_overlap(control: Control) -> None:
    async with control.client() as client, node(control, "edge", "phone"):
        listed = (await client.get("/admin/v1/keys")).json()["items"]
        key_id = next(item["id"] for item in listed if item["roles"] == ["node"])
        made = (await client.post(f"/admin/v1/keys/{key_id}/rotate", json={"overlap_s": 600})).json()
        assert ids(control, "edge") == ["phone"]
        renewed = Control(control.plane, control.url, _with_node_key(control, made["key"]), control.manifests)
        async with node(renewed, "cloud", "worker-0"):
            await client.post(f"/admin/v1/keys/{key_id}/rotate", json={"overlap_s": 600})
            await until(lambda: not ids(control, "edge"))
            assert ids(control, "cloud") == ["worker-0"]
