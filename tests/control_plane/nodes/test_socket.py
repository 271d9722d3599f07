"""The session over real sockets: uvicorn on loopback, the real client, links that break."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from control_plane.nodes.session import GatewayConfig
from control_plane.nodes.telemetry import FreshTelemetry
from edgewise.node.telemetry import MemoryTelemetry
from edgewise.routing.tier import Chunk
from edgewise.wire.codec import decode_gateway_frame, encode_frame
from edgewise.wire.errors import PolicyBundleError, RemoteError, SessionError, TierLostError, TierRefusedError
from edgewise.wire.frames import Command, Generate, Hello, PolicyOffer, PolicyStatus, TelemetryRecord, Welcome
from tests.control_plane.nodes.conftest import KEY, Gateway, Relay, quick_registry, running_gateway
from tests.factories.states import make_state
from tests.factories.tiers import GatedTier

pytestmark = pytest.mark.timeout(25)


async def joined(gateway: Gateway, tier: GatedTier, **changes: Any) -> Any:
    link = gateway.dial(tier, **changes)
    await link.connected.wait()
    return link


async def test_an_answer_comes_through_whole(gateway: Gateway) -> None:
    tier = GatedTier(open_gate=True)
    link = await joined(gateway, tier)
    remote = gateway.registry.get("phone")
    assert remote is not None
    chunks = [chunk async for chunk in remote.generate(make_state(max_tokens=40), "a1")]
    assert tuple(token for chunk in chunks for token in chunk.ids) == tuple(range(40))
    assert "".join(chunk.text for chunk in chunks) == "".join(f"{n} " for n in range(40))
    assert [chunk.finish for chunk in chunks if chunk.finish] == ["length"]
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 40
    assert link.connection_epoch == remote.connection_epoch == 1


@pytest.mark.parametrize("able", [False, True])
async def test_a_node_says_whether_it_holds_answers_to_grammars(gateway: Gateway, able: bool) -> None:
    tier = GatedTier()
    tier.capabilities = msgspec.structs.replace(tier.capabilities, grammars=able)
    await joined(gateway, tier)
    remote = gateway.registry.get("phone")
    assert remote is not None and remote.capabilities.grammars == able


async def test_a_continuation_starts_where_the_state_ends(gateway: Gateway) -> None:
    await joined(gateway, GatedTier(open_gate=True))
    remote = gateway.registry.get("phone")
    assert remote is not None and remote.capabilities.continues
    begun = make_state(max_tokens=6).advanced((0, 1, 2), "0 1 2 ")
    chunks = [chunk async for chunk in remote.generate(begun, "a1")]
    assert tuple(token for chunk in chunks for token in chunk.ids) == (3, 4, 5)


async def test_cancel_reaches_the_tier_and_ends_the_iterator(gateway: Gateway) -> None:
    tier = GatedTier()
    await joined(gateway, tier)
    remote = gateway.registry.get("phone")
    assert remote is not None
    chunks = remote.generate(make_state(max_tokens=40), "a1")
    tier.allow(1)
    assert (await anext(chunks)).ids == (0,)
    await remote.cancel("a1")
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)
    await tier.until(tier.closed, 1)
    await tier.until(tier.cancelled, 1)
    assert tier.cancelled == ["a1"]


async def test_closing_the_iterator_cancels(gateway: Gateway) -> None:
    tier = GatedTier()
    await joined(gateway, tier)
    remote = gateway.registry.get("phone")
    assert remote is not None
    chunks = remote.generate(make_state(max_tokens=40), "a1")
    tier.allow(1)
    await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined]
    await tier.until(tier.closed, 1)


async def test_errors_of_the_tier_keep_their_class(gateway: Gateway) -> None:
    await joined(gateway, GatedTier(open_gate=True, error=TierRefusedError("The queue is full", retry_after_s=2.0)))
    remote = gateway.registry.get("phone")
    assert remote is not None
    with pytest.raises(TierRefusedError, match="queue is full") as caught:
        await anext(remote.generate(make_state(), "a1"))
    assert caught.value.retry_after_s == 2.0


async def test_a_cut_link_ends_attempts_and_comes_back_with_a_newer_epoch(gateway: Gateway) -> None:
    async with Relay(gateway.port).running() as relay:
        tier = GatedTier()
        link = await joined(gateway, tier, port=relay.port)
        first = gateway.registry.get("phone")
        assert first is not None
        chunks = first.generate(make_state(max_tokens=40), "a1")
        tier.allow(2)
        seen = [await anext(chunks)]
        relay.cut()
        with pytest.raises(TierLostError):
            while True:
                seen.append(await anext(chunks))
        assert seen[0].ids[0] == 0
        await tier.until(tier.closed, 1)
        await gateway.until(lambda: gateway.registry.get("phone") not in (None, first))
        await link.connected.wait()
        assert link.connection_epoch == 2
        with pytest.raises(TierLostError):
            await anext(first.generate(make_state(), "a2"))
        again = gateway.registry.get("phone")
        assert again is not None
        tier.allow()
        answer = [chunk async for chunk in again.generate(make_state(max_tokens=3), "a3")]
        assert tuple(token for chunk in answer for token in chunk.ids) == (0, 1, 2)


async def test_a_newer_connection_supersedes_and_the_older_ones_end_removes_nothing(gateway: Gateway) -> None:
    older = await joined(gateway, GatedTier())
    newer = await joined(gateway, GatedTier())
    await gateway.until(lambda: older.last_error is not None)
    assert older.last_error.code == "superseded"
    assert not older.connected.is_set()
    remote = gateway.registry.get("phone")
    assert remote is not None and remote.connection_epoch == newer.connection_epoch == 2
    assert len(gateway.registry.snapshot()) == 1


async def test_a_revoked_key_falls_at_once(gateway: Gateway) -> None:
    tier = GatedTier()
    link = await joined(gateway, tier)
    remote = gateway.registry.get("phone")
    assert remote is not None
    chunks = remote.generate(make_state(max_tokens=40), "a1")
    tier.allow(1)
    await anext(chunks)
    gateway.registry.disconnect_key("key-1")
    assert gateway.registry.get("phone") is None
    with pytest.raises(TierLostError):
        await anext(chunks)
    await gateway.until(lambda: link.last_error is not None)
    assert link.last_error.code == "node_key_invalid"
    assert gateway.registry.device_facts("phone") == {"device.present": False, "device.online": False}


async def test_a_wrong_key_is_rejected_with_the_remedy_and_retried_slowly(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    link = gateway.dial(GatedTier(), key="ek_wrong_one")
    await gateway.until(lambda: link.last_error is not None)
    assert link.last_error is not None and link.last_error.remedy == "ask for another"
    assert "ask for another" in caplog.text
    assert "ek_wrong_one" not in caplog.text
    assert gateway.registry.snapshot() == []


async def test_heartbeats_bring_facts_and_the_round_trip(gateway: Gateway) -> None:
    facts = {"device.battery_pct": 55.0, "device.cpu_temp_c": float("nan"), "device.id": "liar", "other": 1}
    link = await joined(gateway, GatedTier(), device=lambda: dict(facts))
    await gateway.until(lambda: "device.rtt_ms" in gateway.registry.device_facts("phone"))
    seen = gateway.registry.device_facts("phone")
    assert seen["device.battery_pct"] == 55.0
    assert seen["device.id"] == "phone"
    assert "device.cpu_temp_c" not in seen and "other" not in seen
    assert link.rtt_ms is not None and link.rtt_ms >= 0
    (view,) = gateway.registry.snapshot()
    assert view.load.tokens_per_s == 12.5
    assert KEY not in repr(view)


async def test_a_silent_node_is_lost() -> None:
    session = GatewayConfig(heartbeat_s=0.05, lost_after_s=0.2, hello_timeout_s=0.2)
    async with running_gateway(quick_registry(session=session)) as gateway:
        url = f"ws://127.0.0.1:{gateway.port}/node/v1/session"
        async with connect(url, compression=None) as socket:
            hello = Hello(protocol_min=1, protocol_max=1, node_id="mute", key=KEY, kind="cloud")
            await socket.send(encode_frame(hello))
            assert isinstance(decode_gateway_frame(await socket.recv()), Welcome)
            remote = gateway.registry.get("mute")
            assert remote is not None
            chunks = remote.generate(make_state(), "a1")
            with pytest.raises(TierLostError):
                await anext(chunks)
            assert isinstance(decode_gateway_frame(await socket.recv()), Generate)
            with pytest.raises(ConnectionClosed):
                while True:
                    await socket.recv()


@pytest.mark.parametrize("message", [b"\xff garbage", "text"])
async def test_garbage_closes_the_socket_with_the_number(gateway: Gateway, message: bytes | str) -> None:
    async with connect(f"ws://127.0.0.1:{gateway.port}/node/v1/session", compression=None) as socket:
        await socket.send(message)
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await socket.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 4503


async def test_telemetry_is_stored_once_and_in_order() -> None:
    stored: list[FreshTelemetry] = []
    broken = [True]

    async def store(fresh: FreshTelemetry) -> None:
        if broken and broken.pop():
            raise RuntimeError("disk full")
        stored.append(fresh)

    async with running_gateway(quick_registry(on_telemetry=store)) as gateway:
        telemetry = MemoryTelemetry("s1")
        async with Relay(gateway.port).running() as relay:
            link = await joined(gateway, GatedTier(), port=relay.port, telemetry=telemetry)
            for number in range(600):
                telemetry.add(TelemetryRecord(float(number), "device"))
                if number % 200 == 199:
                    relay.cut()
                    await asyncio.sleep(0.01)
            await gateway.until(lambda: telemetry.acked == 600)
            assert [record.at_s for fresh in stored for record in fresh.records] == [float(n) for n in range(600)]
            assert link.connection_epoch > 1


async def test_a_policy_is_offered_at_the_welcome_and_when_it_changes() -> None:
    taken: list[str] = []

    async def take(offer: PolicyOffer, key: str) -> None:
        if offer.bundle == b"bad":
            raise PolicyBundleError("No trusted key has signed it", refusal="bad-signature")
        taken.append(f"{offer.digest} {key}")

    def offered(number: int, bundle: bytes = b"good") -> PolicyOffer:
        return PolicyOffer(digest=f"d{number}", version=number, bundle=bundle, policy_version=9)

    offers = {name: offered(1) for name in ("phone", "tablet", "decides-nothing")}
    async with running_gateway(quick_registry(offer_for=offers.get, policy_key="k")) as gateway:
        await joined(gateway, GatedTier(), on_policy=take)
        await joined(gateway, GatedTier(), node_id="tablet", on_policy=take)
        await joined(gateway, GatedTier(), node_id="decides-nothing")
        await gateway.until(lambda: taken == ["d1 k", "d1 k"])
        offers["phone"] = offered(2)
        gateway.registry.offer_policies()
        await gateway.until(lambda: taken[2:] == ["d2 k"])
        offers["phone"] = offered(3, b"bad")
        gateway.registry.offer_policies()
        await gateway.until(lambda: held(gateway, "phone").digest == "d3")
        refused, others = held(gateway, "phone"), held(gateway, "tablet")
        assert (refused.applied, refused.version, refused.refusal) == (False, 3, "bad-signature")
        assert refused.error is not None and refused.error.code == "policy_bundle_refused"
        assert (others.applied, others.version, others.policy_version) == (True, 1, 9)
        assert len(taken) == 3 and held(gateway, "decides-nothing").digest == ""


async def test_a_node_that_comes_with_its_bundle_is_not_asked_but_shown() -> None:
    offer = PolicyOffer(digest="d1", version=4, bundle=b"good", policy_version=2)
    async with running_gateway(quick_registry(offer_for=lambda node_id: offer)) as gateway:
        await joined(gateway, GatedTier(), on_policy=no_policy, policy_digest="d1")
        assert held(gateway, "phone") == PolicyStatus(digest="d1", applied=True, version=4, policy_version=2)


async def no_policy(offer: PolicyOffer, key: str) -> None:
    raise AssertionError("the node has it already")


def held(gateway: Gateway, node_id: str) -> PolicyStatus:
    """What the fleet view says of a node's policy; an empty status before there is one."""
    (view,) = (each for each in gateway.registry.snapshot() if each.node_id == node_id)
    return view.policy or PolicyStatus(digest="", applied=False)


async def test_commands_run_once_for_each_key(gateway: Gateway) -> None:
    ran: list[str] = []

    async def obey(command: Command) -> dict[str, Any]:
        ran.append(command.name)
        if command.name == "break":
            raise SessionError("It broke")
        return {"times": len(ran)}

    await joined(gateway, GatedTier(), on_command=obey)
    command = gateway.registry.command
    assert await command("phone", "count", idempotency_key="k1") == {"times": 1}
    assert await command("phone", "count", idempotency_key="k1") == {"times": 1}
    with pytest.raises(RemoteError, match="It broke"):
        await command("phone", "break", {"deep": [1, {"two": None}]})
    assert ran == ["count", "break"]


async def test_a_drain_gives_every_node_its_slot_and_turns_newcomers_away(gateway: Gateway) -> None:
    links = [await joined(gateway, GatedTier("cloud"), node_id=f"worker-{n}") for n in range(4)]
    await gateway.registry.drain(20.0)
    assert gateway.registry.snapshot() == []
    await gateway.until(lambda: not any(link.connected.is_set() for link in links))
    with pytest.raises(Exception, match="503"):
        await connect(f"ws://127.0.0.1:{gateway.port}/node/v1/session")


async def test_many_attempts_share_a_link(gateway: Gateway) -> None:
    await joined(gateway, GatedTier(open_gate=True))
    remote = gateway.registry.get("phone")
    assert remote is not None

    async def answer(number: int) -> list[Chunk]:
        return [chunk async for chunk in remote.generate(make_state(max_tokens=100), f"a{number}")]

    for chunks in await asyncio.gather(*(answer(number) for number in range(20))):
        assert tuple(token for chunk in chunks for token in chunk.ids) == tuple(range(100))
