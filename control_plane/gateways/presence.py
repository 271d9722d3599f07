"""Presence: this gateway says that it and its nodes are here, and hears the same of others.

Every beat renews the registration (which a dead gateway lets lapse) and tells the others what changed. When the server
is away, presence freezes: nobody is taken for dead, and the nodes that are connected here go on working.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from control_plane.gateways.bus import EVERYBODY, Bus
from control_plane.gateways.changes import SharedChanges
from control_plane.gateways.errors import GatewayMessageError
from control_plane.gateways.messages import NODES_MAX, Beat, GatewayPresence, Left, NodePresence
from control_plane.gateways.store import BeatReply, PresenceStore
from control_plane.gateways.view import MISSED_MAX, GatewayView
from control_plane.nodes.connection import NodeConnection
from edgewise.wire.errors import LogUnavailableError

log = logging.getLogger(__name__)

BEAT_S: Final = 0.6
REFRESH_BEATS: Final = 50
"""Beats after which everything is registered and read anew, whatever was heard."""


class LocalNodes(Protocol):
    """What is asked of the registry."""

    def connections(self) -> list[NodeConnection]: ...
    def supersede(self, node_id: str, epoch: int) -> None: ...


class Presence:
    """`run` is its task. `describe` gives this gateway's presence as of now; `on_gone(gateway_id)` is told of others
    that vanished."""

    def __init__(
        self,
        own_id: str,
        bus: Bus,
        store: PresenceStore,
        view: GatewayView,
        nodes: LocalNodes,
        changes: SharedChanges,
        describe: Callable[[], GatewayPresence],
        on_gone: Callable[[str], None],
        *,
        beat_s: float = BEAT_S,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[Awaitable[object], float], Awaitable[object]] = asyncio.wait_for,
    ) -> None:
        self.frozen = False
        self._own_id = own_id
        self._bus = bus
        self._store = store
        self._view = view
        self._nodes = nodes
        self._changes = changes
        self._describe = describe
        self._on_gone = on_gone
        self._beat_s = beat_s
        self._clock = clock
        self._wait = wait
        self._seq = 0
        self._beats = 0
        self._registered: dict[str, int] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        self._stale = True
        self._settled_at = clock()
        self._wake = asyncio.Event()

    def beat_soon(self) -> None:
        """Something changed that others should know at once."""
        self._wake.set()

    def refresh_soon(self) -> None:
        """Something was missed: read everything with the next beat, which comes at once."""
        self._stale = True
        self._wake.set()

    def on_beat(self, beat: Beat) -> None:
        """Another gateway lives. A new one is told everything; of one whose beats have a gap, everything is read."""
        if beat.sender == self._own_id:
            return
        fresh, missed = self._view.on_beat(beat)
        for node in beat.nodes:
            self._nodes.supersede(node.hello.node_id, node.connection_epoch - 1)
        if fresh:
            self._told.clear()
        if fresh or missed:
            self.refresh_soon()

    def on_left(self, left: Left) -> None:
        """Another gateway stopped."""
        if self._view.on_left(left.sender):
            self._on_gone(left.sender)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            with suppress(TimeoutError):
                await self._wait(self._wake.wait(), self._beat_s)
            self._wake.clear()

    async def beat(self) -> None:
        """Register, tell, and read again what may be missing. A server that is away freezes presence."""
        self._beats += 1
        if self._beats % REFRESH_BEATS == 0:
            self._registered.clear()
            self._stale = True
        try:
            await self._renew()
            if self._stale and self._is_settled():
                await self._refresh()
        except LogUnavailableError as error:
            self._freeze(error)

    async def leave(self) -> None:
        """Say that this gateway stops."""
        with suppress(LogUnavailableError):
            await self._store.leave(self._own_id)
            await self._bus.send(EVERYBODY, Left(sender=self._own_id))

    async def _renew(self) -> None:
        here = {connection.node_id: connection for connection in self._nodes.connections()}
        came = [each for each in here.values() if self._registered.get(each.node_id) != each.epoch]
        gone = [(node_id, epoch) for node_id, epoch in self._registered.items() if node_id not in here]
        reply = await self._store.beat(self._describe(), [self._presence(each) for each in came], gone)
        self._registered = {each.node_id: each.epoch for each in here.values()}
        self._take(reply)
        self._tell(list(here.values()), [node_id for node_id, _ in gone])

    def _take(self, reply: BeatReply) -> None:
        if self.frozen:
            self._thaw()
        for node_id, epoch in reply.superseded.items():
            self._nodes.supersede(node_id, epoch)
        self._changes.on_versions(reply.versions)
        unheard = reply.live - {self._own_id} - {each.gateway_id for each in self._view.gateways()}
        self._stale = self._stale or bool(unheard)
        for gateway_id in self._view.count_silence():
            if gateway_id not in reply.live and self._is_settled():
                self._view.on_left(gateway_id)
                self._on_gone(gateway_id)

    def _tell(self, here: Sequence[NodeConnection], gone: Sequence[str]) -> None:
        """Tell what changed since the last beat; without other gateways, only that we are here."""
        for node_id in gone:
            self._told.pop(node_id, None)
        listening = here if self._view.gateways() else []
        fresh = [each for each in listening if self._told.get(each.node_id) != _state_of(each)]
        self._told |= {each.node_id: _state_of(each) for each in fresh}
        self._post([self._presence(each) for each in fresh], gone)

    def _post(self, nodes: Sequence[NodePresence], gone: Sequence[str]) -> None:
        """One beat, or as many as it takes. A node that fills one alone is told of without its heartbeat."""
        while len(nodes) > NODES_MAX or len(gone) > NODES_MAX:
            self._post(nodes[:NODES_MAX], gone[:NODES_MAX])
            nodes, gone = nodes[NODES_MAX:], gone[NODES_MAX:]
        self._seq += 1
        try:
            self._bus.post(EVERYBODY, self._beat_with(nodes, gone))
        except GatewayMessageError:
            self._seq -= 1
            half = len(nodes) // 2
            if half:
                self._post(nodes[:half], gone)
                self._post(nodes[half:], ())
            elif nodes[0].heartbeat is not None:
                self._post([msgspec.structs.replace(nodes[0], heartbeat=None)], gone)
            else:
                log.warning("node %s says too much of itself to be told of", nodes[0].hello.node_id)

    def _beat_with(self, nodes: Sequence[NodePresence], gone: Sequence[str]) -> Beat:
        return Beat(sender=self._own_id, seq=self._seq, gateway=self._describe(), nodes=tuple(nodes), gone=tuple(gone))

    async def _refresh(self) -> None:
        asked_at = self._clock()
        everything = await self._store.view()
        self._stale = False
        for gateway_id in self._view.replace(everything, asked_at):
            self._on_gone(gateway_id)

    def _freeze(self, error: LogUnavailableError) -> None:
        if not self.frozen:
            log.warning("other gateways cannot be heard; the nodes here go on: %s", error)
        self.frozen = True
        self._changes.heard(False)

    def _thaw(self) -> None:
        log.info("other gateways can be heard again")
        self.frozen = False
        self._stale = True
        self._settled_at = self._clock() + MISSED_MAX * self._beat_s
        self._registered.clear()
        self._told.clear()
        self._view.thaw()
        self._changes.heard(True)

    def _is_settled(self) -> bool:
        """Whether everybody had the time to register again since the server is back: nobody could meanwhile."""
        return self._clock() >= self._settled_at

    def _presence(self, node: NodeConnection) -> NodePresence:
        """What others may know of a node: never its key."""
        return NodePresence(
            gateway_id=self._own_id,
            connection_epoch=node.epoch,
            hello=msgspec.structs.replace(node.hello, key=""),
            key_id=node.admission.key_id,
            tenant=node.admission.tenant,
            connected_s=node.connected_s,
            heartbeat=node.heartbeat,
            heartbeat_age_s=node.heartbeat_age_s,
            open_attempts=node.open_attempts,
            policy=node.policy_status,
        )


def _state_of(node: NodeConnection) -> tuple[object, ...]:
    """What of a node changes while it is connected."""
    return node.epoch, node.heartbeat, node.open_attempts, node.policy_status
