"""NodeRegistry: which nodes are connected here, newest connection wins. Everything is in memory and on one event loop.

Who is let in is `admit`; where telemetry goes is `on_telemetry`; where epochs come from is `epochs`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from control_plane.accounts.keys import key_digest
from control_plane.nodes.actions import Grant
from control_plane.nodes.admission import Admission, Admit
from control_plane.nodes.connection import NodeConnection
from control_plane.nodes.facts import cloud_facts, device_facts
from control_plane.nodes.ledgers import LastStored, NodeLedgers
from control_plane.nodes.remote import NoRemoteNodes, RemoteNodes
from control_plane.nodes.report import NodeReport
from control_plane.nodes.session import GatewayConfig
from control_plane.nodes.telemetry import FreshTelemetry, TelemetryLedger
from control_plane.nodes.tier import ConnectedTier, NodeTier
from control_plane.nodes.views import NodeView, node_view
from control_plane.nodes.wishes import NO_WISH, NodeWish
from edgewise.ids import new_id
from edgewise.routing.tier import TierKind
from edgewise.wire import frames
from edgewise.wire.errors import EdgewiseError, NodeKeyError, NotFoundError, SessionError, SupersededError
from policies.facts import FactValue

log = logging.getLogger(__name__)

Epochs = Callable[[str, int], Awaitable[int]]
"""Gives (node id, last epoch that the node knows) the next connection epoch: greater than every one before."""
StoreFresh = Callable[[FreshTelemetry], Awaitable[None]]
"""Stores records that are new; when it raises, they are not acknowledged and come again."""
OfferFor = Callable[[str], frames.PolicyOffer | None]
"""Gives the bundle that a device should decide by, from memory; None while there is none."""
WantedModels = Callable[[frames.Hello, Admission], dict[str, str]]
"""Gives, for a node's hello, name → version of the models of which another version is wanted."""

EPOCHS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class NodesConfig:
    """Time limits of sessions, and of one attempt on a node (None: the runner's own limits are enough)."""

    session: GatewayConfig = field(default_factory=GatewayConfig)
    attempt_deadline_s: float | None = None


class MemoryEpochs:
    """Epochs of one process, of the `kept` nodes that joined last; otherwise, as after a restart, the nodes themselves
    remember how far they were."""

    def __init__(self, kept: int = EPOCHS_KEPT) -> None:
        self._kept = kept
        self._last: OrderedDict[str, int] = OrderedDict()

    async def __call__(self, node_id: str, at_least: int) -> int:
        epoch = self._last[node_id] = max(self._last.get(node_id, 0), at_least) + 1
        self._last.move_to_end(node_id)
        if len(self._last) > self._kept:
            self._last.popitem(last=False)
        return epoch


class NodeRegistry:
    """Connected nodes by id. A NodeSocket feeds it; routing, the admin API and policies read it."""

    def __init__(
        self,
        admit: Admit,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        on_telemetry: StoreFresh | None = None,
        last_stored: LastStored | None = None,
        offer_for: OfferFor = lambda node_id: None,
        policy_key: str = "",
        on_policy_refused: Callable[[frames.PolicyStatus], None] = lambda status: None,
        epochs: Epochs | None = None,
        config: NodesConfig | None = None,
        rng: random.Random | None = None,
        make_id: Callable[[], str] = new_id,
        wish: Callable[[str], NodeWish] = lambda node_id: NO_WISH,
        wanted_models: WantedModels = lambda hello, admission: {},
    ) -> None:
        """`wish` tells what operators wish of a node, `wanted_models` which versions a node should have instead,
        `offer_for` which policy bundle a device should decide by; `policy_key` is the public key of bundles, and
        `on_policy_refused` is told what devices say of those that they do not take."""
        self.clock = clock
        self._wish = wish
        self._wanted_models = wanted_models
        self._draining_until: float | None = None
        self._admit = admit
        self._wall = wall
        self._on_telemetry = on_telemetry
        self._ledgers = NodeLedgers(clock, last_stored)
        self._epochs = epochs or MemoryEpochs()
        self._config = config or NodesConfig()
        self._rng = rng or random.Random()
        self._make_id = make_id
        self._nodes: dict[str, NodeConnection] = {}
        self._tiers: dict[str, NodeTier] = {}
        self._offer_for = offer_for
        self._policy_key = policy_key
        self._on_policy_refused = on_policy_refused
        self._remote: RemoteNodes = NoRemoteNodes()

    def link(self, remote: RemoteNodes) -> None:
        """From now on, nodes of other gateways are seen too."""
        self._remote = remote

    # For routing, policies and the admin API ----------------------------------------------------------------------

    def tiers(self, kind: TierKind) -> list[ConnectedTier]:
        """Nodes of a kind that have a model loaded: those connected here, then those of other gateways, the least busy
        first in each."""
        able = [tier for tier in self._tiers.values() if tier.kind == kind and self._usable(tier)]
        far = [tier for tier in self._remote.tiers(kind) if tier.node_id not in self._tiers and self._usable(tier)]
        return [*sorted(able, key=_busy_share), *sorted(far, key=_busy_share)]

    def _usable(self, tier: ConnectedTier) -> bool:
        return bool(tier.capabilities.models) and not self._wish(tier.node_id).drained

    def get(self, node_id: str) -> NodeTier | None:
        """The tier of a node that is connected here."""
        return self._tiers.get(node_id)

    def connections(self) -> list[NodeConnection]:
        """Every node that is connected here."""
        return list(self._nodes.values())

    def device_facts(self, node_id: str) -> dict[str, FactValue]:
        """Facts of a device under their dotted names; an unknown device is neither present nor online."""
        return device_facts(self._nodes.get(node_id) or self._remote.node(node_id))

    def cloud_facts(self) -> dict[str, FactValue]:
        """Facts of all cloud workers together."""
        return cloud_facts(self.tiers("cloud"))

    def snapshot(self) -> list[NodeView]:
        """Every connected node, here or at another gateway, for people: by id, never with keys."""
        reports: dict[str, NodeReport] = {node.node_id: node for node in self._remote.nodes()} | self._nodes
        return [node_view(report) for _, report in sorted(reports.items())]

    # Wishes -------------------------------------------------------------------------------------------------------

    def disconnect(self, node_id: str, error: EdgewiseError, *, reconnect_after_s: float | None = None) -> bool:
        """Send a node away now; whether it was connected."""
        connection = self._nodes.get(node_id)
        if connection is None:
            return False
        connection.dismiss(error, reconnect_after_s=reconnect_after_s)
        return True

    async def disconnect_anywhere(self, node_id: str, message: str, reconnect_after_s: float) -> bool:
        """The same, also when another gateway has it. Raises what asking that one raises."""
        if self.disconnect(node_id, SessionError(message), reconnect_after_s=reconnect_after_s):
            return True
        return await self._remote.disconnect(node_id, message, reconnect_after_s)

    def supersede(self, node_id: str, epoch: int) -> None:
        """The node is connected to another gateway by now, under this connection epoch; an older one here falls."""
        connection = self._nodes.get(node_id)
        if connection is not None and connection.epoch <= epoch:
            connection.dismiss(_superseded(node_id, epoch))

    def disconnect_key(self, key_id: str) -> None:
        """Send away every node that came in under this key: it was revoked."""
        under = [node_id for node_id, known in self._nodes.items() if known.admission.key_id == key_id]
        error = NodeKeyError("The node's key was revoked", remedy="ask an operator for a new node key")
        for node_id in under:
            self.disconnect(node_id, error)

    def disconnect_secret(self, key_id: str, digest: str) -> None:
        """Send away the nodes of a key that said hello with a secret that has ended; the key itself lives on."""
        error = NodeKeyError("The node's key was rotated", remedy="give the node the key's new secret")
        for node_id, known in tuple(self._nodes.items()):
            if known.admission.key_id == key_id and key_digest(known.hello.key) == digest:
                self.disconnect(node_id, error)

    def forget(self, node_id: str) -> None:
        """Forget what is remembered of a node that is not connected."""
        self._ledgers.forget(node_id)

    def offer_policies(self) -> None:
        """Ask anew which bundle each connected device should have, and offer what changed; those that join later get
        what holds then."""
        for connection in tuple(self._nodes.values()):
            offer = self._offer(connection.hello)
            if offer is not None:
                connection.offer_policy(offer)

    async def command(
        self,
        node_id: str,
        name: str,
        body: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        deadline_s: float | None = 30.0,
    ) -> dict[str, Any]:
        """Have a node run a command; returns its detail. Raises NotFoundError, SessionError, RemoteError."""
        connection = self._nodes.get(node_id)
        if connection is None:
            raise NotFoundError(
                f"Node {node_id} is not connected", remedy="list the nodes: `edgewise nodes list` or /admin/v1/nodes"
            )
        command_id = self._make_id()
        key = idempotency_key or command_id
        command = frames.Command(id=command_id, idempotency_key=key, name=name, body=body or {}, deadline_s=deadline_s)
        try:
            return (await connection.command(command, deadline_s)).detail
        except TimeoutError as error:
            raise SessionError(f"Command {name} got no answer in time", where=f"node {node_id}") from error

    async def drain(self, window_s: float, *, patience_s: float = 2.0) -> None:
        """Before a stop: every node gets a goodbye with its own slot in the window, new ones are turned away.

        Returns when their sockets are closed, or after `patience_s`.
        """
        self._draining_until = self.clock() + window_s
        told = list(self._nodes.values())
        self._rng.shuffle(told)
        error = SessionError("The control plane is stopping", remedy="reconnect in the slot given")
        for place, connection in enumerate(told):
            slot_s = window_s * (place + self._rng.random()) / len(told)
            connection.dismiss(error, reason="drain", reconnect_after_s=slot_s)
        if told:
            await asyncio.wait([asyncio.create_task(each.gone.wait()) for each in told], timeout=patience_s)

    def slot_s(self) -> float | None:
        """While draining: seconds after which a newcomer may come back."""
        if self._draining_until is None:
            return None
        return self._rng.uniform(0.0, max(1.0, self._draining_until - self.clock()))

    # For the socket -----------------------------------------------------------------------------------------------

    def connect(self) -> NodeConnection:
        """A connection whose node has yet to say who it is."""
        return NodeConnection(self, self.clock, self._config.session)

    async def join(self, connection: NodeConnection, hello: frames.Hello) -> None:
        """Check a node and put it in the place of its older connection. Raises what `admit` raises, SupersededError."""
        admission = await self._admit(hello)
        self._ledgers.forget_gone(self._nodes)
        ledger = await self._ledgers.join(hello)
        epoch = await self._epochs(hello.node_id, hello.last_connection_epoch)
        older = self._nodes.get(hello.node_id)
        if older is not None and (older.epoch > epoch or _dialled_later(older.hello, hello)):
            raise _superseded(hello.node_id, older.epoch)
        if older is not None:
            older.dismiss(_superseded(hello.node_id, epoch))
        grant = Grant(epoch, self._wall(), ledger.acked(hello.telemetry_stream), self._offer(hello), self._policy_key)
        grant = replace(grant, wanted_models=self._wanted_models(hello, admission))
        connection.admit(admission, grant)
        if connection.live:
            self._nodes[hello.node_id] = connection
            deadline_s = self._config.attempt_deadline_s
            self._tiers[hello.node_id] = NodeTier(
                connection,
                attempt_deadline_s=deadline_s,
                drained=lambda node_id=hello.node_id: self._wish(node_id).drained,  # type: ignore[misc]
            )
            self._remote.local_changed()

    async def store(self, connection: NodeConnection, frame: frames.Telemetry) -> int:
        """Store what is new, one batch of a node at a time; returns how far the stream is stored."""
        known = self._ledgers.seen(connection.hello.node_id)
        ledger = known.ledger
        async with known.storing:
            fresh = ledger.take(frame, connection.admission)
            if fresh is not None:
                await self._keep(fresh, ledger)
            return ledger.acked(frame.stream)

    async def _keep(self, fresh: FreshTelemetry, ledger: TelemetryLedger) -> None:
        try:
            if self._on_telemetry is not None:
                await self._on_telemetry(fresh)
        except Exception:
            log.exception("telemetry of node %s could not be stored; it will come again", fresh.node_id)
        else:
            ledger.commit(fresh)

    def _offer(self, hello: frames.Hello) -> frames.PolicyOffer | None:
        decides = hello.kind == "edge" and frames.POLICY_BUNDLE in hello.capabilities
        return self._offer_for(hello.node_id) if decides else None

    def policy_refused(self, status: frames.PolicyStatus) -> None:
        """A node does not take the bundle that it was offered."""
        self._on_policy_refused(status)

    def leave(self, connection: NodeConnection) -> None:
        """Forget this connection; a newer one of the same node stays (compare and set)."""
        node_id = connection.node_id
        if self._nodes.get(node_id) is connection:
            del self._nodes[node_id]
            del self._tiers[node_id]
            self._ledgers.seen(node_id)
            self._remote.local_changed()


def _busy_share(tier: ConnectedTier) -> tuple[float, str]:
    load = tier.load()
    return (load.running + load.queued) / load.slots, tier.name


def _dialled_later(held: frames.Hello, new: frames.Hello) -> bool:
    """Whether the connection we hold was dialled after the one that says hello only now (it was held up on its way)."""
    return held.run_id == new.run_id != "" and held.dial > new.dial


def _superseded(node_id: str, epoch: int) -> SupersededError:
    return SupersededError(
        f"A newer connection of node {node_id} took over (connection epoch {epoch})",
        where=f"node {node_id}",
        expected="one agent for each node id",
        remedy="if two machines share this node id, give one of them another",
    )
