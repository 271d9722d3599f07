"""What a server does for gateways, the same on Valkey and in memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from control_plane.gateways.bus import EVERYBODY
from control_plane.gateways.connecting import gateway_connections
from control_plane.gateways.messages import Changed, GatewayPresence, Left, Message, NodePresence
from control_plane.gateways.pipe import CommandPipe
from control_plane.gateways.store import BeatReply, ValkeyStore
from control_plane.streams.connection import dedicated_connection
from control_plane.streams.valkey_log import connect
from edgewise.local.valkey import ValkeyProcess
from edgewise.wire.errors import LogUnavailableError
from edgewise.wire.frames import Hello
from tests.control_plane.gateways.conftest import Server
from tests.factories.valkey import MortalValkey


def gateway(own_id: str, **fields: Any) -> GatewayPresence:
    return GatewayPresence(gateway_id=own_id, **fields)


def node(gateway_id: str, epoch: int, node_id: str = "phone") -> NodePresence:
    hello = Hello(protocol_min=1, protocol_max=1, node_id=node_id, key="", kind="edge")
    return NodePresence(gateway_id=gateway_id, connection_epoch=epoch, hello=hello)


async def test_what_was_registered_is_seen_by_all(server: Server) -> None:
    (_, one), (_, two) = await server.gateway(), await server.gateway()
    await one.beat(gateway("one", running=2), [node("one", 1)], [])
    reply = await two.beat(gateway("two"), [], [])
    assert reply == BeatReply(frozenset({"one", "two"}))
    seen = await two.view()
    assert {each.gateway_id: each.running for each in seen.gateways} == {"one": 2, "two": 0}
    assert seen.nodes == (node("one", 1),)


@pytest.mark.parametrize(
    ("first", "second", "owner", "superseded"),
    [
        (1, 2, "two", {}),
        (2, 1, "one", {"phone": 2}),
        (1, 1, "one", {"phone": 1}),
        (9, 10, "two", {}),
        (2**40, 2**40 + 1, "two", {}),
    ],
)
async def test_the_higher_epoch_has_the_node(
    server: Server, first: int, second: int, owner: str, superseded: dict[str, int]
) -> None:
    _, store = await server.gateway()
    await store.beat(gateway("one"), [node("one", first)], [])
    reply = await store.beat(gateway("two"), [node("two", second)], [])
    assert reply.superseded == superseded
    assert [each.gateway_id for each in (await store.view()).nodes] == [owner]


async def test_only_the_owner_removes_a_node(server: Server) -> None:
    _, store = await server.gateway()
    await store.beat(gateway("one"), [node("one", 2)], [])
    await store.beat(gateway("two"), [], [("phone", 2)])
    await store.beat(gateway("one"), [], [("phone", 1)])
    assert len((await store.view()).nodes) == 1
    await store.beat(gateway("one"), [], [("phone", 2)])
    assert (await store.view()).nodes == ()


async def test_a_gateway_that_leaves_takes_its_nodes_along(server: Server) -> None:
    _, store = await server.gateway()
    await store.beat(gateway("one"), [node("one", 1)], [])
    await store.leave("one")
    seen = await store.view()
    assert (seen.gateways, seen.nodes) == ((), ())
    assert (await store.beat(gateway("two"), [node("two", 1)], [])).superseded == {}


async def test_a_dead_gateway_lapses(valkey_server: ValkeyProcess) -> None:
    client = connect(valkey_server.url)
    pipe = CommandPipe(dedicated_connection(client), where="test")
    store = ValkeyStore(pipe, ttl_s=0.05)
    await store.beat(gateway("brief"), [node("brief", 1, "n-brief")], [])
    deadline = time.monotonic() + 5
    while any(each.gateway_id == "brief" for each in (await store.view()).gateways):
        assert time.monotonic() < deadline
    assert all(each.gateway_id != "brief" for each in (await store.view()).nodes)
    assert await pipe.run("HEXISTS", "ew:{gw}:nodes", "n-brief") == 0
    await pipe.aclose()


async def test_epochs_only_grow(server: Server) -> None:
    (_, one), (_, two) = await server.gateway(), await server.gateway()
    assert [await one.next_epoch("n", 0), await two.next_epoch("n", 0), await one.next_epoch("n", 9)] == [1, 2, 10]
    assert await two.next_epoch("n", 3) == 11


async def test_versions_of_topics(server: Server) -> None:
    _, store = await server.gateway()
    assert [await store.bump("keys"), await store.bump("keys"), await store.bump("models")] == [1, 2, 1]
    assert (await store.beat(gateway("one"), [], [])).versions == {"keys": 2, "models": 1}


async def test_messages_reach_one_or_all_and_say_how_many(server: Server) -> None:
    heard: dict[str, list[Message]] = {"one": [], "two": [], "job": []}
    buses = {name: (await server.gateway())[0] for name in heard}
    for name, bus in buses.items():
        await bus.listen(name, heard[name].append, everybody=name != "job")
    assert await buses["one"].send("two", Left(sender="one")) == 1
    assert await buses["one"].send("nobody", Left(sender="one")) == 0
    for version in range(50):
        buses["two"].post("one", Changed(sender="two", topic="keys", version=version))
    assert await buses["two"].send(EVERYBODY, Left(sender="two")) == 2
    while not (heard["one"] and isinstance(heard["one"][-1], Left) and len(heard["two"]) == 2):
        await asyncio.sleep(0.005)
    assert [each.version for each in heard["one"] if isinstance(each, Changed)] == list(range(50))
    assert heard["job"] == []
    for bus in buses.values():
        await bus.aclose()


async def test_bytes_that_are_no_message_are_dropped_and_counted(
    valkey_server: ValkeyProcess, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Message] = []
    client = connect(valkey_server.url)
    async with gateway_connections(valkey_server.url) as (bus, _):
        await bus.listen("victim", heard.append)
        for data in (b"", b"\x02nonsense", b"\x01\xc1"):
            await client.publish("ew:{gw}:to:victim", data)
        await bus.send("victim", Left(sender="victim"))
        while not heard:
            await asyncio.sleep(0.005)
        assert bus.malformed == 3 and "dropped (3 so far)" in caplog.text
    await client.aclose()


async def test_a_server_that_dies_and_comes_back(mortal_valkey: MortalValkey) -> None:
    heard: list[Message] = []
    async with gateway_connections(mortal_valkey.url) as (bus, store):
        await bus.listen("one", heard.append)
        await store.bump("keys")
        mortal_valkey.kill()
        with pytest.raises(LogUnavailableError):
            await store.bump("keys")
        with pytest.raises(LogUnavailableError):
            await bus.send("one", Left(sender="one"))
        bus.post("one", Left(sender="one"))
        mortal_valkey.start()
        assert await store.bump("keys") == 2, "what was counted is kept"
        while not await bus.send("one", Left(sender="one")):
            await asyncio.sleep(0.01)
        while not heard:
            await asyncio.sleep(0.005)


async def test_what_waits_for_a_server_is_bounded(valkey_server: ValkeyProcess) -> None:
    client = connect(valkey_server.url)
    pipe = CommandPipe(dedicated_connection(client), where="test", waiting_max_bytes=100)
    asked = [pipe.ask("PUBLISH", "nowhere", b"x" * 60) for _ in range(3)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in done] == [int, LogUnavailableError, LogUnavailableError]
    await pipe.aclose()
    with pytest.raises(LogUnavailableError, match="closed"):
        await pipe.run("PING")
