"""Both ends of the node session against each other, over links that lose, delay and break: the promises of protocol.md.

The real machines, registry and codec; only sockets are replaced by queues that hypothesis cuts where it likes. What was
sent on a link arrives as a prefix; each end learns of the cut at its own time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from control_plane.nodes.admission import Admission
from control_plane.nodes.connection import NodeConnection
from control_plane.nodes.registry import NodeRegistry, NodesConfig
from control_plane.nodes.session import GatewayConfig
from control_plane.nodes.telemetry import FreshTelemetry
from edgewise.node import actions as do
from edgewise.node.actions import NodeIdentity, NodeReport
from edgewise.node.backoff import Backoff
from edgewise.node.session import NodeSession
from edgewise.node.telemetry import MemoryTelemetry
from edgewise.routing.tier import Chunk
from edgewise.wire.codec import decode_gateway_frame, decode_node_frame, encode_frame
from edgewise.wire.errors import SessionError, TierError, TierLostError
from edgewise.wire.frames import Hello, ModelOffer, Reject, TelemetryRecord, Welcome
from tests.factories.states import make_state

NODE = "phone"
MAX_TOKENS = 8


class Link:
    """One connection: bytes under way in both directions, and which end still believes in it."""

    def __init__(self, connection: NodeConnection) -> None:
        self.connection = connection
        self.to_gateway: deque[bytes] = deque()
        self.to_node: deque[bytes] = deque()
        self.node_open = self.gateway_open = True
        self.welcomed = False
        self.node_spoke = self.gateway_spoke = False

    def from_node(self, data: bytes) -> None:
        frame = decode_node_frame(data)
        assert isinstance(frame, Hello) != self.node_spoke, f"{frame} came out of turn"
        assert isinstance(frame, Hello) or self.welcomed or type(frame).__name__ == "Goodbye"
        self.node_spoke = True
        self.to_gateway.append(data)

    def from_gateway(self, data: bytes) -> None:
        frame = decode_gateway_frame(data)
        assert isinstance(frame, Welcome | Reject) != self.gateway_spoke, f"{frame} came out of turn"
        self.gateway_spoke = True
        self.to_node.append(data)


class SessionContract(RuleBasedStateMachine):
    """One node, one gateway, any number of links between them."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        logging.getLogger("control_plane.nodes").setLevel(logging.CRITICAL)
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.stored: list[TelemetryRecord] = []
        self.store_fails = False
        self.store_works = asyncio.Event()
        self.store_works.set()
        self.telemetry = MemoryTelemetry("stream-1")
        self.added = 0
        identity = NodeIdentity(
            node_id=NODE,
            key="ek_x",
            kind="edge",
            models=(ModelOffer(name="small", version="v1"),),
            telemetry_stream="stream-1",
            run_id="run-1",
        )
        self.node = NodeSession(identity, Backoff(random.Random(seed)), NodeReport)
        self.registry = NodeRegistry(
            self.admit,
            clock=lambda: self.now,
            wall=lambda: 0.0,
            on_telemetry=self.store,
            config=NodesConfig(GatewayConfig(heartbeat_s=2.0, lost_after_s=7.0, hello_timeout_s=5.0)),
            rng=random.Random(seed),
        )
        self.links: list[Link] = []
        self.link: Link | None = None
        self.retry_at = 0.0
        self.running: dict[str, int] = {}
        self.readers: dict[str, asyncio.Task[str]] = {}
        self.heard: dict[str, list[int]] = {}

    async def admit(self, hello: Hello) -> Admission:
        return Admission("key-1")

    async def store(self, fresh: FreshTelemetry) -> None:
        await self.store_works.wait()
        if self.store_fails:
            self.store_fails = False
            raise RuntimeError("the store is down")
        self.stored.extend(fresh.records)

    # The shell of the node ----------------------------------------------------------------------------------------

    def perform(self, actions: list[Any]) -> None:
        for action in actions:
            match action:
                case do.Send(frame):
                    assert self.link is not None
                    if self.link.node_open:
                        self.link.from_node(encode_frame(frame))
                case do.StartAttempt(attempt, state):
                    self.running[attempt] = len(state.output_ids)
                case do.CancelAttempt(attempt):
                    self.running.pop(attempt, None)
                case do.ReadTelemetry(after_seq, limit):
                    self.perform(self.node.on_telemetry(self.telemetry.pending(after_seq, min(limit, 3))))
                case do.TelemetryStored(seq):
                    self.telemetry.ack(seq)
                case do.Close():
                    self.node_notices_the_end()
                case do.ReconnectAt(at, error):
                    assert error is None or error.code != "superseded", "there is only one node here"
                    self.retry_at = at

    def node_notices_the_end(self) -> None:
        assert self.link is not None
        if self.link.node_open:
            self.link.node_open = False
            self.link.to_node.clear()
            self.perform(self.node.on_closed(self.now))

    # The shell of the gateway -------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the gateway's tasks run, and move what it says onto the links."""

        async def breathe() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(breathe())
        for link in [link for link in self.links if link.gateway_open]:
            while len(link.connection.outbox):
                data = self.loop.run_until_complete(link.connection.outbox.next())
                assert data is not None
                link.from_gateway(data)
            if link.connection.deadline() is None and not link.to_gateway:
                self.gateway_notices_the_end(link)

    def receive(self, link: Link) -> None:
        async def received() -> None:
            link.connection.received(link.to_gateway.popleft())

        self.loop.run_until_complete(received())

    def gateway_notices_the_end(self, link: Link) -> None:
        link.gateway_open = False
        link.to_gateway.clear()
        link.connection.closed()

    async def read(self, attempt: str) -> str:
        tier = self.registry.get(NODE)
        if tier is None:
            return "absent"
        try:
            async for chunk in tier.generate(make_state(max_tokens=MAX_TOKENS), attempt):
                assert chunk.n0 == len(self.heard[attempt])
                self.heard[attempt].extend(chunk.ids)
                if chunk.finish:
                    return chunk.finish
        except TierLostError:
            return "lost"
        except TierError:
            return "failed"
        return "cancelled"

    # What may happen ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.link is None or not self.link.node_open)
    @rule()
    def dial(self) -> None:
        self.now = max(self.now, self.retry_at)
        self.link = Link(self.registry.connect())
        self.links.append(self.link)
        self.perform(self.node.on_connected(self.now))
        self.settle()

    @precondition(lambda self: any(link.to_gateway and link.gateway_open for link in self.links))
    @rule(data=st.data(), count=st.integers(1, 6))
    def deliver_to_gateway(self, data: st.DataObject, count: int) -> None:
        """Also from a link that the node has given up: bytes may be held up."""
        link = data.draw(st.sampled_from([link for link in self.links if link.to_gateway and link.gateway_open]))
        for _ in range(min(count, len(link.to_gateway))):
            if link.to_gateway and link.gateway_open:
                self.receive(link)
                self.settle()

    @precondition(lambda self: self.link is not None and self.link.to_node)
    @rule(count=st.integers(1, 6))
    def deliver_to_node(self, count: int) -> None:
        assert self.link is not None
        for _ in range(count):
            if self.link.to_node and self.link.node_open:
                frame = decode_gateway_frame(self.link.to_node.popleft())
                self.link.welcomed |= isinstance(frame, Welcome)
                self.perform(self.node.on_frame(frame, self.now))

    @precondition(lambda self: self.link is not None and self.link.node_open)
    @rule()
    def all_arrives(self) -> None:
        """Everything on the newest link, there and back, until it is quiet (or for a while)."""
        assert self.link is not None
        for _ in range(10):
            while self.link.to_gateway and self.link.gateway_open:
                self.receive(self.link)
                self.settle()
            self.deliver_to_node(100)

    @precondition(lambda self: self.link is not None and self.link.node_open)
    @rule()
    def cut_seen_by_the_node(self) -> None:
        self.node_notices_the_end()

    @precondition(lambda self: any(link.gateway_open for link in self.links))
    @rule(data=st.data())
    def cut_seen_by_the_gateway(self, data: st.DataObject) -> None:
        link = data.draw(st.sampled_from([link for link in self.links if link.gateway_open]))
        self.gateway_notices_the_end(link)
        self.settle()

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 8.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.perform(self.node.on_tick(self.now))
        for link in self.links:
            if link.gateway_open:
                link.connection.ticked()
        self.settle()

    @rule(records=st.integers(1, 7))
    def record(self, records: int) -> None:
        for _ in range(records):
            self.added += 1
            self.telemetry.add(TelemetryRecord(float(self.added), "device"))
        self.perform(self.node.on_telemetry_waiting())

    @rule(fails=st.booleans())
    def stall_the_store(self, fails: bool) -> None:
        self.store_fails = fails
        self.store_works.clear()

    @rule()
    def let_the_store_work(self) -> None:
        self.store_works.set()
        self.settle()

    @precondition(lambda self: self.registry.get(NODE) is not None)
    @rule()
    def ask(self) -> None:
        attempt = f"a{len(self.readers)}"
        self.heard[attempt] = []
        self.readers[attempt] = self.loop.create_task(self.read(attempt))
        self.settle()

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        tier = self.registry.get(NODE)
        if tier is not None:
            attempt = data.draw(st.sampled_from(sorted(self.readers)))
            self.loop.run_until_complete(tier.cancel(attempt))
            self.settle()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), size=st.integers(1, 3))
    def speak(self, data: st.DataObject, size: int) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.running)))
        n0 = self.running[attempt]
        ids = tuple(range(n0, min(MAX_TOKENS, n0 + size)))
        self.running[attempt] = n0 + len(ids)
        self.perform(self.node.on_chunk(attempt, Chunk(n0, ids, "x" * len(ids))))
        if self.running[attempt] == MAX_TOKENS:
            del self.running[attempt]
            self.perform(self.node.on_chunk(attempt, Chunk(MAX_TOKENS, (), "", "length")))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[attempt]
        self.perform(self.node.on_failed(attempt, TierError("it broke")))

    @rule()
    def send_away(self) -> None:
        self.registry.disconnect(NODE, SessionError("an operator said so"))
        self.settle()

    # What must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def telemetry_is_stored_once_and_in_order(self) -> None:
        assert [record.at_s for record in self.stored] == [float(n + 1) for n in range(len(self.stored))]
        assert self.telemetry.acked <= len(self.stored) <= self.added

    @invariant()
    def only_the_newest_connection_counts(self) -> None:
        live = [link.connection for link in self.links if link.gateway_open and link.connection.live]
        assert len(live) <= 1
        tier = self.registry.get(NODE)
        assert (tier.connection_epoch if tier else 0) == (live[0].epoch if live else 0)

    @invariant()
    def a_node_without_a_link_works_for_nobody(self) -> None:
        assert self.node.phase == "live" or not self.running

    @invariant()
    def answers_have_no_gaps(self) -> None:
        for attempt, ids in self.heard.items():
            assert ids == list(range(len(ids))), attempt

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.heals()
        for link in self.links:
            if link.gateway_open:
                self.gateway_notices_the_end(link)
        self.settle()
        assert all(reader.done() for reader in self.readers.values()), "an attempt never ended"
        for attempt, reader in self.readers.items():
            if reader.result() == "length":
                assert self.heard[attempt] == list(range(MAX_TOKENS))
        self.loop.close()

    def heals(self) -> None:
        """On a good network everything that waits arrives."""
        self.let_the_store_work()
        for _ in range(400):
            if self.node.phase == "live" and self.telemetry.acked == self.added:
                break
            if self.link is None or not self.link.node_open:
                self.dial()
            self.all_arrives()
            self.time_passes(0.5)
        assert self.node.phase == "live"
        assert len(self.stored) == self.telemetry.acked == self.added


SessionContract.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
TestSessionContract = pytest.mark.timeout(60)(SessionContract.TestCase)
