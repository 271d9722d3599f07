"""Who is there: registration, moving nodes, dead gateways, a server that is away."""

from __future__ import annotations

from typing import Any

from control_plane.accounts.keyring import Principal
from control_plane.gateways.endpoints import router
from control_plane.gateways.messages import Beat, GatewayPresence, Left, encode_presence
from control_plane.gateways.presence import BEAT_S, REFRESH_BEATS
from control_plane.gateways.store import TTL_S
from control_plane.gateways.view import MISSED_MAX
from control_plane.nodes.admission import Admission
from edgewise.wire import frames
from tests.control_plane.gateways.fleet import Fleet
from tests.control_plane.nodes.conftest import KEY
from tests.factories.clock import settle


async def test_a_node_of_another_gateway_is_a_tier_a_device_and_a_line_in_the_list() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    phone, worker = await one.join("phone", labels={"shared": "true"}), await one.join("w", "cloud")
    phone.beat(running=1, battery_pct=40.0)
    worker.beat(running=2)
    await fleet.beats()
    assert (two.names("edge"), two.names("cloud")) == (["edge:phone"], ["cloud:w"])
    (tier,) = two.registry.tiers("edge")
    assert (tier.tenant, tier.labels, tier.load().running) == ("acme", {"shared": "true"}, 1)
    facts = two.registry.device_facts("phone")
    assert (facts["device.battery_pct"], facts["device.online"], facts["device.id"]) == (40.0, True, "phone")
    assert two.registry.device_facts("phone") == one.registry.device_facts("phone")
    assert two.registry.cloud_facts() == one.registry.cloud_facts()
    assert [(node.node_id, node.gateway) for node in two.registry.snapshot()] == [("phone", "one"), ("w", "one")]
    assert [node.gateway for node in one.registry.snapshot()] == ["", ""]


async def test_facts_of_a_remote_device_grow_old() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    (await one.join()).beat(battery_pct=40.0)
    await fleet.beats()
    fleet.clock.now += 3600
    assert "device.battery_pct" not in two.registry.device_facts("phone")


async def test_no_key_ever_leaves_its_gateway() -> None:
    sent: list[bytes] = []
    fleet = Fleet(lambda sender, receiver, data: [sent.append(data) or data])  # type: ignore[func-returns-value]
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    assert two.names() == ["edge:phone"]
    stored = [encode_presence(node) for node in fleet.server.nodes.values()]
    assert stored and not any(KEY.encode() in data for data in (*sent, *stored))


async def test_local_nodes_come_first_and_the_least_busy_first_in_each() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    for gateway, names in ((one, ("a", "b")), (two, ("c", "d"))):
        for busy, name in enumerate(names):
            (await gateway.join(name, "cloud")).beat(running=3 - busy)
    await fleet.beats()
    assert one.names("cloud") == ["cloud:b", "cloud:a", "cloud:d", "cloud:c"]
    assert two.names("cloud") == ["cloud:d", "cloud:c", "cloud:b", "cloud:a"]


async def test_a_node_that_moves_is_the_new_gateways_and_the_old_connection_falls() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    old = await one.join()
    await fleet.beats()
    new = await two.join(run_id="after a restart")
    await two.beat()
    assert new.connection.epoch > old.connection.epoch
    assert [frame.reason for frame in await old.of(frames.Goodbye)] == ["superseded"]
    await fleet.beats()
    assert [node.gateway for node in one.registry.snapshot()] == ["two"]
    assert [node.gateway for node in two.registry.snapshot()] == [""]
    assert fleet.server.nodes["phone"].gateway_id == "two"


async def test_a_stale_registration_overwrites_nothing_even_when_no_message_comes() -> None:
    fleet = Fleet(lambda sender, receiver, data: [])
    one, two = await fleet.pair()
    old = await one.join()
    await one.beat()
    await two.join(run_id="another")
    await two.beat()
    one.gateways.presence.refresh_soon()
    for _ in range(REFRESH_BEATS):
        await one.beat()
    assert fleet.server.nodes["phone"].gateway_id == "two"
    assert [frame.reason for frame in await old.of(frames.Goodbye)] == ["superseded"]


async def test_a_dead_gateway_vanishes_with_its_nodes_when_its_time_is_up() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    fleet.kill(one)
    for _ in range(MISSED_MAX + 2):
        await two.beat()
    assert two.names() == ["edge:phone"], "its registration still lives"
    fleet.clock.now += fleet.server.ttl_s + 0.1
    await two.beat()
    assert two.names() == [] and [each.gateway_id for each in two.gateways.live()] == ["two"]
    two.gateways.presence.refresh_soon()
    await two.beat()
    assert fleet.server.nodes == {}


async def test_a_process_that_itself_stood_still_takes_nobody_for_dead() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    fleet.clock.now += 60
    await one.beat()
    await two.beat()
    assert two.names() == ["edge:phone"]


async def test_a_gateway_that_stops_says_so() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    one.gateways.drain()
    await one.beat()
    assert two.names() == [] and two.gateways.live()[1].draining
    await one.gateways.presence.leave()
    await settle()
    assert [each.gateway_id for each in two.gateways.live()] == ["two"]


async def test_a_lost_beat_is_made_up_for() -> None:
    lossy = {"on": False}
    fleet = Fleet(lambda sender, receiver, data: [] if lossy["on"] else [data])
    one, two = await fleet.pair()
    lossy["on"] = True
    gone = await one.join("gone")
    await one.join("phone")
    await one.beat()
    gone.close()
    await one.beat()
    lossy["on"] = False
    assert two.names() == []
    await fleet.beats()
    assert two.names() == ["edge:phone"]


async def test_gateways_that_come_later_learn_everything() -> None:
    fleet = Fleet()
    one = await fleet.gateway("one")
    phone = await one.join()
    await fleet.beats()
    phone.beat(battery_pct=12.0)
    for name in ("two", "three"):
        late = await fleet.gateway(name)
        await fleet.beats()
        assert late.names() == ["edge:phone"]
        assert late.registry.device_facts("phone")["device.battery_pct"] == 12.0


async def test_when_the_server_is_away_presence_freezes_and_local_nodes_go_on() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join("far")
    await fleet.beats()
    fleet.server.up = False
    await two.join("near")
    for _ in range(5 * MISSED_MAX):
        await two.beat()
    assert two.gateways.presence.frozen
    assert two.names() == ["edge:near", "edge:far"]
    fleet.server.up = True
    fleet.server.gateways.clear()
    fleet.server.nodes.clear()
    await fleet.beats()
    assert not two.gateways.presence.frozen
    assert one.names() == ["edge:far", "edge:near"] and two.names() == ["edge:near", "edge:far"]


async def test_more_nodes_than_one_message_holds() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    for number in range(300):
        await one.join(f"n{number}")
    await fleet.beats()
    assert len(two.registry.tiers("edge")) == 300


async def test_a_left_that_came_twice_and_a_beat_of_our_own_are_nothing() -> None:
    fleet = Fleet()
    one, _ = await fleet.pair()
    one.gateways.on_message(Left(sender="nobody"))
    one.gateways.on_message(Beat(sender="one", seq=9, gateway=GatewayPresence(gateway_id="one")))
    assert [each.gateway_id for each in one.gateways.live()] == ["one", "two"]


async def test_the_list_of_gateways() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    endpoint: Any = router(two.gateways, keyring=None).routes[0]  # type: ignore[arg-type]
    listed = await endpoint.endpoint(by=Principal("k", "t", "free", frozenset({"operator"})))
    found = [(each.gateway_id, each.answering, each.nodes, each.running) for each in listed.items]
    assert found == [("two", True, [], 3), ("one", False, ["phone"], 3)]


async def test_a_node_keeps_its_key_and_tenant_on_its_way() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    remote = two.gateways.node("phone")
    assert remote is not None and remote.admission == Admission("key-1", "acme")


async def test_a_server_that_comes_back_takes_nobody_for_dead() -> None:
    """Who is the first to be back finds no other registered: their time was up while nobody could register."""
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join("far")
    await fleet.beats()
    fleet.server.up = False
    await two.beat()
    await fleet.clock.advance(10 * TTL_S)
    fleet.server.up = True
    for _ in range(2):
        await two.beat()
        assert two.names() == ["edge:far"]
    await fleet.beats()
    assert two.names() == ["edge:far"]


async def test_a_gateway_that_died_while_the_server_was_away_is_noticed_in_the_end() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join("far")
    await fleet.beats()
    fleet.server.up = False
    await two.beat()
    fleet.kill(one)
    await fleet.clock.advance(10 * TTL_S)
    fleet.server.up = True
    for _ in range(MISSED_MAX + 2):
        await two.beat()
        await fleet.clock.advance(BEAT_S)
    assert two.names() == []


async def test_what_a_node_says_of_itself_never_silences_its_gateway() -> None:
    """A message has an end; a node with too much to say is told of without it."""
    fleet = Fleet()
    one, two = await fleet.pair()
    for name in ("talker", "gossip", "other"):
        node = await one.join(name)
        node.beat(story="x" * 3_000_000) if name != "other" else node.beat(battery_pct=12.0)
    await fleet.beats()
    assert two.registry.device_facts("other")["device.battery_pct"] == 12.0
    assert sorted(two.names()) == ["edge:gossip", "edge:other", "edge:talker"]
