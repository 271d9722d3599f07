"""The registry without sockets: newest connection wins, admission, facts with their age, order of tiers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control_plane.accounts.keyring import KeyRing, LiveKey, Principal
from control_plane.accounts.keys import key_digest, new_key
from control_plane.errors import DatabaseUnavailableError
from control_plane.nodes.admission import Admission, NodeGate
from control_plane.nodes.connection import NodeConnection
from control_plane.nodes.registry import MemoryEpochs, NodeRegistry
from control_plane.nodes.telemetry import FreshTelemetry
from edgewise.wire import frames
from edgewise.wire.codec import decode_gateway_frame, encode_frame
from edgewise.wire.errors import ModelDigestError, NodeKeyError
from tests.control_plane.nodes.conftest import KEY, quick_registry

SMALL = frames.ModelOffer(name="small", version="v1")


def hello(node_id: str = "phone", kind: Any = "edge", **fields: Any) -> frames.Hello:
    given: dict[str, Any] = {"key": KEY, "models": (SMALL,), "run_id": "run"} | fields
    return frames.Hello(protocol_min=1, protocol_max=1, node_id=node_id, kind=kind, **given)


async def join(registry: NodeRegistry, word: frames.Hello) -> tuple[NodeConnection, list[Any]]:
    connection = registry.connect()
    connection.received(encode_frame(word))
    for _ in range(5):
        await asyncio.sleep(0)
    return connection, await said(connection)


async def said(connection: NodeConnection) -> list[Any]:
    found = []
    while len(connection.outbox):
        data = await connection.outbox.next()
        assert data is not None
        found.append(decode_gateway_frame(data))
    return found


def beat(connection: NodeConnection, *, running: int = 0, slots: int = 1, **device: Any) -> None:
    load = frames.LoadReport(running=running, slots=slots)
    facts = {f"device.{name}": value for name, value in device.items()}
    connection.received(encode_frame(frames.Heartbeat(seq=1, sent_at=0.0, load=load, device=facts, rtt_ms=30.0)))


async def test_a_late_close_of_the_older_connection_removes_nothing() -> None:
    registry = quick_registry()
    older, _ = await join(registry, hello(dial=1))
    newer, words = await join(registry, hello(dial=2))
    assert [word.reason for word in await said(older)] == ["superseded"]
    older.closed()
    tier = registry.get("phone")
    assert tier is not None and tier.connection_epoch == newer.epoch == words[0].connection_epoch == 2
    newer.closed()
    assert registry.get("phone") is None and registry.snapshot() == []


async def test_a_hello_that_was_held_up_cannot_take_over() -> None:
    registry = quick_registry()
    newer, _ = await join(registry, hello(dial=2))
    _, words = await join(registry, hello(dial=1))
    assert [word.error.code for word in words] == ["superseded"]
    assert newer.live and await said(newer) == []


async def test_a_restarted_agent_takes_over_whatever_its_count() -> None:
    registry = quick_registry()
    await join(registry, hello(dial=9))
    newer, _ = await join(registry, hello(dial=1, run_id="another run"))
    assert newer.live


async def test_a_slow_admission_of_an_older_hello_loses() -> None:
    gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    epochs = {"a": 1, "b": 2}

    async def admit(word: frames.Hello) -> Admission:
        await gates[word.run_id].wait()
        return Admission()

    async def count(node_id: str, at_least: int) -> int:
        return epochs[{1: "a", 2: "b"}[at_least]]

    registry = quick_registry(admit=admit, epochs=count)
    slow, _ = await join(registry, hello(run_id="a", last_connection_epoch=1))
    quick, _ = await join(registry, hello(run_id="b", last_connection_epoch=2))
    gates["b"].set()
    await asyncio.sleep(0.001)
    gates["a"].set()
    await asyncio.sleep(0.001)
    assert quick.live and not slow.live
    assert [word.error.code for word in await said(slow)] == ["superseded"]


async def test_a_socket_that_closes_during_admission_leaves_nothing_behind() -> None:
    gate = asyncio.Event()
    gate.set()

    async def admit(word: frames.Hello) -> Admission:
        await gate.wait()
        return Admission()

    registry = quick_registry(admit=admit)
    held, _ = await join(registry, hello(dial=1))
    gate.clear()
    closing, _ = await join(registry, hello(dial=2))
    closing.closed()
    gate.set()
    await asyncio.sleep(0.001)
    assert held.live and [view.connection_epoch for view in registry.snapshot()] == [held.epoch]


async def test_epochs_go_on_from_what_the_node_remembers() -> None:
    connection, _ = await join(quick_registry(), hello(last_connection_epoch=41))
    assert connection.epoch == 42


async def test_a_broken_admission_is_an_internal_error_and_no_hang() -> None:
    async def admit(word: frames.Hello) -> Admission:
        raise RuntimeError("the database is gone")

    _, words = await join(quick_registry(admit=admit), hello())
    assert [word.error.code for word in words] == ["internal_error"]
    assert "database" not in words[0].error.message


async def test_tiers_are_of_one_kind_with_a_model_and_the_least_busy_first() -> None:
    registry = quick_registry()
    for name, running in (("w-busy", 3), ("w-idle", 0)):
        connection, _ = await join(registry, hello(name, "cloud"))
        beat(connection, running=running, slots=4)
    await join(registry, hello("w-empty", "cloud", models=()))
    await join(registry, hello("phone", labels={"shared": "true"}))
    assert [tier.name for tier in registry.tiers("cloud")] == ["cloud:w-idle", "cloud:w-busy"]
    assert [tier.labels for tier in registry.tiers("edge")] == [{"shared": "true"}]
    facts = registry.cloud_facts()
    assert facts == {
        "cloud.available": True,
        "cloud.workers": 2,
        "cloud.queue_depth": 0,
        "cloud.load": 3 / 8,
    }


def test_without_workers_the_cloud_is_not_available() -> None:
    assert quick_registry().cloud_facts() == {"cloud.available": False, "cloud.workers": 0}


async def test_facts_grow_old() -> None:
    now = [0.0]
    registry = quick_registry(clock=lambda: now[0])
    connection, _ = await join(registry, hello())
    beat(connection, battery_pct=12.0, charging=True, link="wifi", cpu_temp_c=50.0, memory_pct="full", link_speed=3)
    fresh = registry.device_facts("phone")
    assert fresh == {
        "device.id": "phone",
        "device.present": True,
        "device.online": True,
        "device.model_version": "v1",
        "device.queue_depth": 0,
        "device.rtt_ms": 30.0,
        "device.battery_pct": 12.0,
        "device.charging": True,
        "device.link": "wifi",
        "device.cpu_temp_c": 50.0,
    }
    now[0] = 61.0
    old = registry.device_facts("phone")
    assert "device.cpu_temp_c" not in old and "device.rtt_ms" not in old
    assert old["device.battery_pct"] == 12.0


async def test_after_a_restart_telemetry_goes_on_where_the_store_is() -> None:
    asked: list[tuple[str, str]] = []
    stored: list[FreshTelemetry] = []

    async def last_stored(node_id: str, stream: str) -> int:
        asked.append((node_id, stream))
        return 40

    async def store(fresh: FreshTelemetry) -> None:
        stored.append(fresh)

    registry = quick_registry(last_stored=last_stored, on_telemetry=store)
    connection, words = await join(registry, hello(telemetry_stream="s", telemetry_acked=37))
    assert words[0].telemetry_acked == 40
    records = tuple(frames.TelemetryRecord(float(n), "device") for n in range(38, 43))
    connection.received(encode_frame(frames.Telemetry(stream="s", first_seq=38, records=records)))
    await asyncio.sleep(0.001)
    assert [word.seq for word in await said(connection)] == [42]
    assert [(fresh.first_seq, fresh.last_seq) for fresh in stored] == [(41, 42)]
    assert (stored[0].admission.key_id, stored[0].admission.tenant) == ("key-1", "acme")
    await join(registry, hello(telemetry_stream="s", telemetry_acked=42, dial=1))
    assert asked == [("phone", "s")]


async def test_a_store_that_is_away_does_not_keep_a_node_out(caplog: pytest.LogCaptureFixture) -> None:
    async def last_stored(node_id: str, stream: str) -> int:
        raise DatabaseUnavailableError("gone")

    connection, words = await join(
        quick_registry(last_stored=last_stored), hello(telemetry_stream="s", telemetry_acked=37)
    )
    assert connection.live and words[0].telemetry_acked == 37
    assert "send it again" in caplog.text


async def test_nodes_that_are_gone_for_an_hour_leave_nothing_behind() -> None:
    now = [0.0]

    async def admit(word: frames.Hello) -> Admission:
        if word.run_id == "late":
            refused_before_the_welcome.closed()
        return Admission()

    registry = quick_registry(admit=admit, clock=lambda: now[0])
    staying, _ = await join(registry, hello("staying", telemetry_stream="s"))
    for n in range(20):
        connection, _ = await join(registry, hello(f"gone-{n}", telemetry_stream="s"))
        connection.closed()
    refused_before_the_welcome = registry.connect()
    refused_before_the_welcome.received(encode_frame(hello("never-here", run_id="late")))
    await asyncio.sleep(0.001)
    now[0] = 3599.0
    await join(registry, hello("new"))
    assert len(registry._ledgers) == 23
    now[0] = 3601.0
    await join(registry, hello("gone-3"))
    await join(registry, hello("other"))
    assert sorted(registry._ledgers._known) == ["gone-3", "new", "other", "staying"]
    record = frames.TelemetryRecord(1.0, "device")
    staying.received(encode_frame(frames.Telemetry(stream="s", first_seq=1, records=(record,))))
    await asyncio.sleep(0.001)
    assert [word.seq for word in await said(staying)] == [1]


async def test_epochs_are_kept_of_the_nodes_that_joined_last() -> None:
    epochs = MemoryEpochs(kept=2)
    assert [await epochs("a", 0), await epochs("b", 0), await epochs("a", 0), await epochs("c", 0)] == [1, 1, 2, 1]
    assert await epochs("a", 0) == 3
    assert await epochs("b", 7) == 8 and len(epochs._last) == 2


PHONE_KEY, FREE_KEY, APP_KEY = new_key(), new_key(), new_key()


def ring() -> KeyRing:
    found = KeyRing()
    for key_id, key, role, device in (
        ("k1", PHONE_KEY, "node", "phone"),
        ("k2", FREE_KEY, "node", None),
        ("k3", APP_KEY, "app", None),
    ):
        principal = Principal(key_id, "acme", "standard", frozenset({role}), device)  # type: ignore[arg-type]
        found.add(LiveKey(key_digest(key), principal))
    return found


class NoModels:
    def admit_models(self, offers: Any) -> None:
        for offer in offers:
            if offer.weights_digest == "wrong":
                raise ModelDigestError("The weights are not the registered ones")


@pytest.mark.parametrize(("key", "node_id"), [(PHONE_KEY, "phone"), (FREE_KEY, "anyone")])
async def test_a_node_key_lets_its_node_in(key: str, node_id: str) -> None:
    assert (await NodeGate(ring(), NoModels())(hello(node_id, key=key))).tenant == "acme"


@pytest.mark.parametrize(
    ("key", "node_id"),
    [(PHONE_KEY, "tablet"), (APP_KEY, "phone"), (new_key(), "phone"), ("", "phone"), ("nonsense", "phone")],
    ids=["bound elsewhere", "no node role", "unknown", "empty", "malformed"],
)
async def test_other_keys_do_not(key: str, node_id: str) -> None:
    with pytest.raises(NodeKeyError) as caught:
        await NodeGate(ring(), NoModels())(hello(node_id, key=key))
    assert caught.value.remedy and (not key or key not in str(caught.value))


async def test_a_wrong_model_digest_is_refused() -> None:
    offer = frames.ModelOffer(name="small", version="v1", weights_digest="wrong")
    with pytest.raises(ModelDigestError):
        await NodeGate(ring(), NoModels())(hello(key=FREE_KEY, models=(offer,)))
