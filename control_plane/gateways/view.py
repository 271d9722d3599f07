"""GatewayView: the other gateways and their nodes as this one knows them. Pure memory; routing asks nothing else.

presence.py feeds it. A node belongs to the highest connection epoch that was heard of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control_plane.gateways.messages import Beat, GatewayPresence, NodePresence
from control_plane.gateways.store import Everything
from control_plane.nodes.admission import Admission
from edgewise.wire.frames import Heartbeat, Hello, PolicyStatus

MISSED_MAX = 3
"""Own beats during which another gateway may be silent before it counts as gone."""


class RemoteNode:
    """A node of another gateway, with the read side of a NodeConnection."""

    live = True

    def __init__(self, told: NodePresence, clock: Callable[[], float]) -> None:
        self.told = told
        self.told_at = clock()
        self.hello: Hello = told.hello
        self.heartbeat: Heartbeat | None = told.heartbeat
        self.policy_status: PolicyStatus | None = told.policy
        self.admission = Admission(told.key_id, told.tenant)
        self._clock = clock

    @property
    def gateway_id(self) -> str:
        """Where it is connected."""
        return self.told.gateway_id

    @property
    def node_id(self) -> str:
        """Who it is."""
        return self.hello.node_id

    @property
    def epoch(self) -> int:
        """The connection epoch."""
        return self.told.connection_epoch

    @property
    def open_attempts(self) -> int:
        """Attempts that its gateway had under way when it told of the node."""
        return self.told.open_attempts

    @property
    def connected_s(self) -> float:
        """Seconds since the welcome."""
        return self.told.connected_s + self._clock() - self.told_at

    @property
    def heartbeat_age_s(self) -> float:
        """Seconds since the node last told about itself."""
        return self.told.heartbeat_age_s + self._clock() - self.told_at


@dataclass
class _Peer:
    presence: GatewayPresence
    seq: int | None
    heard_at: float
    missed: int = 0


class GatewayView:
    """`clock` gives monotonic seconds. `on_changed` is called after the set of nodes changed."""

    def __init__(
        self, own_id: str, clock: Callable[[], float], *, on_changed: Callable[[], None] = lambda: None
    ) -> None:
        self._own_id = own_id
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        self._nodes: dict[str, RemoteNode] = {}
        self._on_changed = on_changed

    def gateways(self) -> list[GatewayPresence]:
        """The other gateways, by id."""
        return [self._peers[each].presence for each in sorted(self._peers)]

    def is_draining(self, gateway_id: str) -> bool:
        """Whether this gateway is about to stop."""
        peer = self._peers.get(gateway_id)
        return peer is not None and peer.presence.draining

    def nodes(self) -> list[RemoteNode]:
        """Nodes of other gateways, by id."""
        return [self._nodes[each] for each in sorted(self._nodes)]

    def node(self, node_id: str) -> RemoteNode | None:
        """One node of another gateway."""
        return self._nodes.get(node_id)

    def on_beat(self, beat: Beat) -> tuple[bool, bool]:
        """Take a beat in. Returns whether the sender is new here, and whether something of it was missed."""
        peer = self._peers.get(beat.sender)
        fresh = peer is None
        missed = peer is not None and peer.seq is not None and beat.seq != peer.seq + 1
        self._peers[beat.sender] = _Peer(beat.gateway, beat.seq, self._clock())
        for node_id in beat.gone:
            self._forget(node_id, beat.sender)
        for node in beat.nodes:
            self._learn(node)
        if beat.nodes or beat.gone or fresh:
            self._on_changed()
        return fresh, missed

    def on_left(self, gateway_id: str) -> bool:
        """A gateway is gone, and its nodes with it; whether it was known."""
        known = self._peers.pop(gateway_id, None) is not None
        for node in [node for node in self._nodes.values() if node.gateway_id == gateway_id]:
            del self._nodes[node.node_id]
        self._on_changed()
        return known

    def count_silence(self) -> list[str]:
        """Called at each own beat: ids of those that were silent for too many of them. Counting beats, not seconds,
        keeps a process that itself stood still from taking everybody else for dead."""
        for peer in self._peers.values():
            peer.missed += 1
        return [each for each, peer in self._peers.items() if peer.missed > MISSED_MAX]

    def thaw(self) -> None:
        """The server was away: nobody could be heard, so nobody was silent."""
        for peer in self._peers.values():
            peer.missed = 0

    def replace(self, everything: Everything, asked_at: float) -> list[str]:
        """Take what the store knew at `asked_at`; returns the gateways that are gone. What was heard since then is
        newer, and of one connection a beat knows more than the store."""
        stored = {each.gateway_id: each for each in everything.gateways if each.gateway_id != self._own_id}
        for gateway_id, presence in stored.items():
            self._peers.setdefault(gateway_id, _Peer(presence, None, self._clock()))
        listed = {node.hello.node_id for node in everything.nodes}
        for node in [node for node in self._nodes.values() if node.told_at < asked_at]:
            if node.node_id not in listed:
                del self._nodes[node.node_id]
        for told in everything.nodes:
            self._learn(told, newer_only=True)
        gone = [each for each, peer in self._peers.items() if each not in stored and peer.heard_at < asked_at]
        for gateway_id in gone:
            self.on_left(gateway_id)
        self._on_changed()
        return gone

    def _learn(self, told: NodePresence, *, newer_only: bool = False) -> None:
        if told.gateway_id == self._own_id:
            return
        held = self._nodes.get(told.hello.node_id)
        if (
            held is None
            or told.connection_epoch > held.epoch
            or (told.connection_epoch == held.epoch and not newer_only)
        ):
            self._nodes[told.hello.node_id] = RemoteNode(told, self._clock)

    def _forget(self, node_id: str, gateway_id: str) -> None:
        held = self._nodes.get(node_id)
        if held is not None and held.gateway_id == gateway_id:
            del self._nodes[node_id]
