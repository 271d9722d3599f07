"""Attempts at another gateway's node: nothing is made up, nothing is left out, and every loss is an error in time."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateways.memory import Channel, MemoryBus, MemoryServer
from control_plane.gateways.messages import NodePresence, RelayAsk, RelayBeat, RelayChunk, RelayEnded
from control_plane.gateways.relay import SILENT_PULSES, RelayDesk, RelayTier
from control_plane.gateways.view import RemoteNode
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire import frames
from edgewise.wire.errors import EdgewiseError, ErrorInfo, TierError, TierLostError, TierRefusedError
from tests.control_plane.gateways.fleet import Fleet, Gateway, Node, collected, started
from tests.factories.clock import settle
from tests.factories.states import make_state


async def asked(fleet: Fleet) -> tuple[Gateway, Gateway, Node, asyncio.Task[Any]]:
    """Gateway two has an attempt at the phone of gateway one."""
    one, two = await fleet.pair()
    node = await one.join()
    await fleet.beats()
    (tier,) = two.registry.tiers("edge")
    reading = started(collected(tier.generate(make_state(max_tokens=4), "a1")))
    (generate,) = await node.of(frames.Generate)
    assert generate.attempt == "a1"
    return one, two, node, reading


async def test_a_whole_answer_comes_over() -> None:
    _, _, node, reading = await asked(Fleet())
    node.say(frames.Tokens(attempt="a1", n0=0, ids=(7,), text="你"))
    await settle()
    node.say(frames.Tokens(attempt="a1", n0=1, ids=(8, 9), text="好"))
    node.say(frames.Finished(attempt="a1", finish="stop", usage=frames.UsageReport(prompt_tokens=3), text="!"))
    *chunks, last = await reading
    assert [(chunk.n0, chunk.ids, chunk.text) for chunk in chunks] == [(0, (7,), "你"), (1, (8, 9), "好")]
    assert last == Chunk(3, (), "!", "stop", Usage(3, 0))
    assert await node.of(frames.Cancel) == []


async def test_a_node_that_refuses_is_told_with_its_own_error() -> None:
    _, _, node, reading = await asked(Fleet())
    node.say(frames.Tokens(attempt="a1", n0=0, ids=(7,), text="a"))
    node.say(frames.Failed(attempt="a1", error=ErrorInfo(1402, "tier_refused", "full", remedy="wait")))
    chunk, error = await reading
    assert chunk.ids == (7,)
    assert isinstance(error, TierRefusedError) and error.remedy == "wait"


async def test_a_reader_that_stops_cancels_at_the_node() -> None:
    _, _, node, reading = await asked(Fleet())
    reading.cancel()
    await settle()
    assert [frame.attempt for frame in await node.of(frames.Cancel)] == ["a1"]


async def test_a_slow_reader_gets_longer_chunks() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    node = await one.join()
    await fleet.beats()
    chunks: Any = two.registry.tiers("edge")[0].generate(make_state(max_tokens=9), "a1")
    first = started(anext(chunks))
    await node.of(frames.Generate)
    for index in range(4):
        node.say(frames.Tokens(attempt="a1", n0=index, ids=(index,), text=f"{index}"))
        await settle()
    assert (await first).ids == (0,)
    assert (await anext(chunks)).ids == (1, 2, 3)
    await chunks.aclose()


async def test_an_asker_that_dies_is_noticed_and_the_node_is_stopped() -> None:
    fleet = Fleet()
    one, two, node, reading = await asked(fleet)
    fleet.kill(two)
    for _ in range(SILENT_PULSES + 1):
        one.gateways.pulse.beat()
    await settle()
    assert [frame.attempt for frame in await node.of(frames.Cancel)] == ["a1"]
    reading.cancel()


async def test_a_serving_gateway_that_dies_is_noticed_within_a_second_of_pulses() -> None:
    fleet = Fleet()
    one, two, node, reading = await asked(fleet)
    node.say(frames.Tokens(attempt="a1", n0=0, ids=(7,), text="a"))
    await settle()
    fleet.kill(one)
    for _ in range(SILENT_PULSES + 2):
        two.gateways.pulse.beat()
    chunk, error = await reading
    assert chunk.ids == (7,) and isinstance(error, TierLostError)


async def test_pulses_keep_a_long_prefill_alive() -> None:
    fleet = Fleet()
    one, two, node, reading = await asked(fleet)
    for _ in range(5 * SILENT_PULSES):
        one.gateways.pulse.beat()
        two.gateways.pulse.beat()
        await settle()
    assert not reading.done() and await node.of(frames.Cancel) == []
    reading.cancel()


async def test_a_gateway_that_is_gone_is_no_tier_for_long() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    (tier,) = two.registry.tiers("edge")
    fleet.kill(one)
    (error,) = await collected(tier.generate(make_state(), "a1"))
    assert isinstance(error, TierLostError)


async def test_a_lost_end_is_noticed_by_the_pulse() -> None:
    """The finish never arrives; the serving gateway knows nothing of the attempt any more, and says so."""
    lost: list[bytes] = []

    def channel(sender: str, receiver: str, data: bytes) -> list[bytes]:
        if b"relay_chunk" in data and b"stop" in data:
            lost.append(data)
            return []
        return [data]

    _, two, node, reading = await asked(Fleet(channel))
    node.say(frames.Finished(attempt="a1", finish="stop"))
    await settle()
    assert lost and not reading.done()
    two.gateways.pulse.beat()
    (error,) = await reading
    assert isinstance(error, TierLostError)


def losing_the_first_chunk() -> Channel:
    dropped: list[bytes] = []

    def channel(sender: str, receiver: str, data: bytes) -> list[bytes]:
        if b"relay_chunk" in data and not dropped:
            dropped.append(data)
            return []
        return [data]

    return channel


async def test_a_lost_chunk_is_noticed_by_the_pulse_while_the_node_is_thinking() -> None:
    one, _, node, reading = await asked(Fleet(losing_the_first_chunk()))
    node.say(frames.Tokens(attempt="a1", n0=0, ids=(7,), text="a"))
    await settle()
    one.gateways.pulse.beat()
    (error,) = await reading
    assert isinstance(error, TierLostError) and "sent 1 messages, 0 came" in error.message


async def test_a_gap_is_noticed_at_once_and_the_node_is_stopped() -> None:
    _, _, node, reading = await asked(Fleet(losing_the_first_chunk()))
    for index in range(2):
        node.say(frames.Tokens(attempt="a1", n0=index, ids=(index,), text=f"{index}"))
        await settle()
    (error,) = await reading
    assert isinstance(error, TierLostError) and "before" in error.message
    assert [frame.attempt for frame in await node.of(frames.Cancel)] == ["a1"]


async def test_a_lost_ask_is_noticed_by_the_pulse() -> None:
    fleet = Fleet(lambda sender, receiver, data: [] if b"relay_ask" in data else [data])
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    reading = started(collected(two.registry.tiers("edge")[0].generate(make_state(), "a1")))
    await settle()
    two.gateways.pulse.beat()
    (error,) = await reading
    assert isinstance(error, TierLostError)


async def test_a_node_that_moved_is_lost_to_those_who_ask_at_its_old_gateway() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    old = await one.join()
    await fleet.beats()
    (tier,) = two.registry.tiers("edge")
    await one.join(dial=2)
    assert old.connection.epoch == 1
    (error,) = await collected(tier.generate(make_state(), "a1"))
    assert isinstance(error, TierLostError) and "not connected" in error.message


async def test_a_request_that_may_not_leave_its_device_leaves_neither_gateway() -> None:
    sent: list[bytes] = []

    def channel(sender: str, receiver: str, data: bytes) -> list[bytes]:
        sent.append(data)
        return [data]

    fleet = Fleet(channel)
    one, two = await fleet.pair()
    node = await one.join()
    await fleet.beats()
    (tier,) = two.registry.tiers("edge")
    state = make_state(local_only=True)
    (error,) = await collected(tier.generate(state, "a1"))
    assert isinstance(error, TierError) and not any(b"relay_ask" in data for data in sent)
    raw = msgspec.Raw(msgspec.msgpack.encode(state))
    two_says = RelayAsk(sender="two", attempt="a2", node_id="phone", connection_epoch=1, state=raw)
    one.gateways.on_message(two_says)
    await settle()
    assert any(b"relay_ended" in data for data in sent) and await node.of(frames.Generate) == []


async def test_a_state_that_does_not_decode_is_refused() -> None:
    fleet = Fleet()
    one, _ = await fleet.pair()
    node = await one.join()
    heard: list[Any] = []
    fleet.server.listeners["two"] = (heard.append, False)
    raw = msgspec.Raw(msgspec.msgpack.encode({"prompt_ids": "text"}))
    one.gateways.on_message(RelayAsk(sender="two", attempt="a2", node_id="phone", connection_epoch=1, state=raw))
    await settle()
    (ended,) = [message for message in heard if isinstance(message, RelayEnded)]
    assert ended.error.code == "gateway_message_malformed" and await node.of(frames.Generate) == []


async def test_a_request_too_large_for_a_message_is_refused() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    (error,) = await collected(two.registry.tiers("edge")[0].generate(make_state(model="m" * 5_000_000), "a1"))
    assert isinstance(error, TierError)


# Messages that are lost, doubled and out of order -----------------------------------------------------------------

SAID = [RelayChunk(sender="one", attempt="a1", seq=n, n0=n, ids=(n,), text=f"{n} ") for n in range(6)]
ENDS: list[Any] = [
    RelayChunk(sender="one", attempt="a1", seq=6, n0=6, finish="stop", text="end"),
    RelayEnded(sender="one", attempt="a1", seq=6, error=ErrorInfo(1400, "tier_failed", "broken")),
]


@st.composite
def mangled(draw: st.DrawFn) -> tuple[list[Any], Any]:
    """What arrives of a conversation: some messages missing, some twice, some late."""
    end = draw(st.sampled_from(ENDS))
    sent = [*SAID, end]
    arrived = [message for message in sent for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2])))]
    for _ in range(draw(st.integers(0, 3))):
        if len(arrived) > 1:
            at, to = (draw(st.integers(0, len(arrived) - 1)) for _ in range(2))
            arrived.insert(to, arrived.pop(at))
    return arrived, end


async def told(arrived: list[Any]) -> list[Any]:
    bus = MemoryBus(MemoryServer(lambda: 0.0))
    await bus.listen("one", lambda message: None)
    desk = RelayDesk("two", bus)
    node = frames.Hello(protocol_min=1, protocol_max=1, node_id="phone", key="", kind="edge")
    remote = RemoteNode(NodePresence(gateway_id="one", connection_epoch=1, hello=node), lambda: 0.0)
    reading = started(collected(RelayTier(remote, desk).generate(make_state(), "a1")))
    await settle()
    for message in arrived:
        desk.on_chunk(message) if isinstance(message, RelayChunk) else desk.on_ended(message)
    desk.on_beat(RelayBeat(sender="one", served={"a1": len(SAID) + 1}))
    for _ in range(SILENT_PULSES + 1):
        desk.count_silence()
    return await asyncio.wait_for(reading, 5)


@given(mangled())
def test_what_is_read_is_a_prefix_of_what_was_said_and_then_an_end(conversation: tuple[list[Any], Any]) -> None:
    arrived, end = conversation
    *chunks, last = asyncio.run(told(arrived))
    ids = [token for chunk in chunks for token in chunk.ids]
    assert ids == list(range(len(ids)))
    assert "".join(chunk.text for chunk in chunks) == "".join(f"{n} " for n in ids)
    whole = len(ids) == len(SAID)
    if isinstance(last, Chunk):
        assert whole and last.finish == "stop" and last.text == "end" and end is ENDS[0]
    else:
        assert isinstance(last, TierError)
        assert isinstance(last, TierLostError) or (whole and end is ENDS[1])


@given(mangled())
def test_messages_of_a_stranger_change_nothing(conversation: tuple[list[Any], Any]) -> None:
    from msgspec.structs import replace

    strange = [replace(message, sender="stranger") for message in conversation[0]]
    (error,) = asyncio.run(told(strange))
    assert isinstance(error, TierLostError)


async def test_an_attempt_is_asked_for_once() -> None:
    _, two, _, reading = await asked(Fleet())
    (error,) = await collected(two.registry.tiers("edge")[0].generate(make_state(), "a1"))
    assert isinstance(error, EdgewiseError) and "exists" in str(error)
    reading.cancel()
