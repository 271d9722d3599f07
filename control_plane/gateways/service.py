"""Gateways: the other gateways as the rest of a control plane sees them. Wires presence, relay, questions and changes.

Everything that routing asks is answered from memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from control_plane.gateways.bus import EVERYBODY, Bus
from control_plane.gateways.changes import SharedChanges
from control_plane.gateways.errors import NodeElsewhereError
from control_plane.gateways.messages import (
    Answer,
    AnyMessage,
    Beat,
    Changed,
    GatewayPresence,
    Left,
    Order,
    RelayAsk,
    RelayBeat,
    RelayCancel,
    RelayChunk,
    RelayEnded,
    ResumeAsk,
    WarmAsk,
)
from control_plane.gateways.presence import Presence
from control_plane.gateways.pulse import RelayPulse
from control_plane.gateways.questions import Answerer, Asker, Question
from control_plane.gateways.relay import RelayDesk, RelayTier
from control_plane.gateways.serving import RelayServer
from control_plane.gateways.store import PresenceStore
from control_plane.gateways.view import GatewayView, RemoteNode
from control_plane.gateways.work import Work
from control_plane.nodes.registry import NodeRegistry
from control_plane.nodes.report import NodeReport
from edgewise.routing.tier import TierKind
from edgewise.wire.errors import BadRequestError, NotFoundError, SessionError

Verb = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Does something to a node that is connected here: (node id, body) to the answer's detail."""
ORDER_WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who this gateway is. `started_at_s` is Unix time."""

    gateway_id: str
    name: str
    version: str
    started_at_s: float


class Gateways:
    """One gateway among others. `link` it to the registry, then keep `running` open."""

    def __init__(
        self,
        identity: Identity,
        *,
        bus: Bus,
        store: PresenceStore,
        registry: NodeRegistry,
        changes: SharedChanges,
        work: Work,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        own_id = identity.gateway_id
        self.gateway_id = own_id
        self._identity = identity
        self._bus = bus
        self._store = store
        self._registry = registry
        self._changes = changes
        self._work = work
        self._draining = False
        self._tiers: dict[str, RelayTier] = {}
        self._verbs: dict[str, Verb] = {"command": self._command, "disconnect": self._disconnect}
        self._view = GatewayView(own_id, clock, on_changed=self._retier)
        self._desk = RelayDesk(own_id, bus)
        self._server = RelayServer(own_id, bus, registry.get)
        self.pulse = RelayPulse(own_id, bus, self._desk, self._server, sleep=sleep)
        self._asker = Asker(own_id, bus)
        self._answerer = Answerer(own_id, bus, self._reply)
        self.presence = Presence(
            own_id, bus, store, self._view, registry, changes, self.describe, self._on_gone, clock=clock
        )

    # For the registry (RemoteNodes) -------------------------------------------------------------------------------

    def tiers(self, kind: TierKind) -> Sequence[RelayTier]:
        """Nodes of other gateways that have a model loaded."""
        if not self._tiers:
            return ()
        return [tier for tier in self._tiers.values() if tier.kind == kind and self._is_usable(tier)]

    def node(self, node_id: str) -> RemoteNode | None:
        """A node of another gateway."""
        return self._view.node(node_id)

    def nodes(self) -> Sequence[RemoteNode]:
        """Nodes of other gateways, by id."""
        return self._view.nodes()

    def local_changed(self) -> None:
        """A node came to this gateway, or left it: the others hear of it at once."""
        self.presence.beat_soon()

    # For the admin API --------------------------------------------------------------------------------------------

    def describe(self) -> GatewayPresence:
        """This gateway as of now."""
        identity = self._identity
        return GatewayPresence(
            gateway_id=self.gateway_id,
            name=identity.name,
            version=identity.version,
            started_at_s=identity.started_at_s,
            running=self._work.running(),
            nodes=len(self._registry.connections()),
            draining=self._draining,
        )

    def live(self) -> list[GatewayPresence]:
        """All gateways that are alive, this one first."""
        return [self.describe(), *self._view.gateways()]

    def reports(self) -> Sequence[NodeReport]:
        """Every connected node, here or elsewhere."""
        return [*self._registry.connections(), *self._view.nodes()]

    def on_order(self, verb: str, handler: Verb) -> None:
        """Let every gateway ask this one to do `verb` to a node that is connected here."""
        self._verbs[verb] = handler

    async def order(
        self, node_id: str, verb: str, body: dict[str, Any] | None = None, *, within_s: float = ORDER_WITHIN_S
    ) -> dict[str, Any]:
        """Do `verb` to a node, at whichever gateway it is connected; returns what its handler gives there.

        Built in are `command` (see `command`) and `disconnect`; `on_order` adds others. Raises NotFoundError (no such
        node), what the handler raises, and for another gateway RemoteError, GatewaySilentError, LogUnavailableError.
        """
        if self._registry.get(node_id) is not None:
            return await self._do(node_id, verb, body or {})
        remote = self._view.node(node_id)
        if remote is None:
            remedy = "list the nodes: `edgewise nodes list` or /admin/v1/nodes"
            raise NotFoundError(f"Node {node_id[:64]} is not connected", remedy=remedy)
        return await self._asker.order(remote.gateway_id, node_id, verb, body or {}, within_s)

    async def command(
        self,
        node_id: str,
        name: str,
        body: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        deadline_s: float = ORDER_WITHIN_S,
    ) -> dict[str, Any]:
        """Have a node run a command, wherever it is connected; returns its detail. Raises what `order` raises."""
        wish = {"name": name, "body": body or {}, "idempotency_key": idempotency_key, "deadline_s": deadline_s}
        return await self.order(node_id, "command", wish, within_s=deadline_s)

    async def disconnect(self, node_id: str, message: str, reconnect_after_s: float) -> bool:
        """Send a node away, wherever it is connected; whether it was. Raises what `order` raises."""
        try:
            told = await self.order(node_id, "disconnect", {"message": message, "reconnect_after_s": reconnect_after_s})
        except NotFoundError:
            return False
        return bool(told.get("disconnected"))

    @property
    def asking(self) -> tuple[str, ...]:
        """Questions to other gateways that wait for their answers."""
        return self._asker.waiting

    # Running ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be there for the others while the block runs. Raises LogUnavailableError when nobody can be reached."""
        await self._bus.listen(self.gateway_id, self.on_message)
        await self.presence.beat()
        self._changes.connect(self.bump)
        loops = (self.presence.run(), self.pulse.run(), self._changes.run())
        tasks = [asyncio.create_task(loop, name="gateways") for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._answerer.aclose()
            await self._server.aclose()
            await self.presence.leave()
            await self._bus.aclose()

    def drain(self) -> None:
        """This gateway is about to stop: nobody should ask it for more."""
        self._draining = True
        self.presence.beat_soon()

    def on_message(self, message: AnyMessage) -> None:
        """A message came, from anybody."""
        match message:
            case Beat():
                self.presence.on_beat(message)
            case RelayChunk():
                self._desk.on_chunk(message)
            case RelayEnded():
                self._desk.on_ended(message)
            case RelayBeat():
                self._desk.on_beat(message)
                self._server.on_beat(message)
            case RelayAsk():
                self._server.on_ask(message)
            case RelayCancel():
                self._server.on_cancel(message)
            case Changed() if message.sender != self.gateway_id:
                self._changes.on_version(message.topic, message.version)
            case Left():
                self.presence.on_left(message)
            case Order() | ResumeAsk() | WarmAsk():
                self._answerer.on_question(message)
            case Answer():
                self._asker.on_answer(message)

    def _on_gone(self, gateway_id: str) -> None:
        self._desk.on_gone(gateway_id)
        self._server.on_gone(gateway_id)

    async def bump(self, topic: str) -> int:
        """Count a change and tell the others; returns the topic's version. Raises LogUnavailableError."""
        version = await self._store.bump(topic)
        self._bus.post(EVERYBODY, Changed(sender=self.gateway_id, topic=topic, version=version))
        return version

    # Tiers --------------------------------------------------------------------------------------------------------

    def _retier(self) -> None:
        """The view changed: a node keeps its tier for as long as it keeps its connection."""
        tiers: dict[str, RelayTier] = {}
        for node in self._view.nodes():
            tier = self._tiers.get(node.node_id)
            if tier is None or (tier.node.gateway_id, tier.node.epoch) != (node.gateway_id, node.epoch):
                tier = RelayTier(node, self._desk)
            tier.node = node
            tiers[node.node_id] = tier
        self._tiers = tiers

    def _is_usable(self, tier: RelayTier) -> bool:
        return bool(tier.capabilities.models) and not self._view.is_draining(tier.node.gateway_id)

    # What others ask of this gateway ------------------------------------------------------------------------------

    async def _reply(self, question: Question) -> dict[str, Any]:
        match question:
            case Order():
                if self._registry.get(question.node_id) is None:
                    raise NodeElsewhereError(
                        f"Node {question.node_id} is not connected to this gateway", remedy="ask again in a moment"
                    )
                async with asyncio.timeout(question.deadline_s):
                    return await self._do(question.node_id, question.verb, question.body)
            case ResumeAsk():
                return {"outcome": await self._work.resume(question.sid)}
            case WarmAsk():
                return {"warmed": await self._work.warm()}

    async def _do(self, node_id: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        handler = self._verbs.get(verb)
        if handler is None:
            raise BadRequestError(
                f"Nothing called {verb!r} can be done to a node", expected=f"one of {', '.join(sorted(self._verbs))}"
            )
        return await handler(node_id, body)

    async def _command(self, node_id: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._registry.command(
            node_id,
            str(body.get("name", "")),
            dict(body.get("body") or {}),
            idempotency_key=body.get("idempotency_key"),
            deadline_s=body.get("deadline_s", ORDER_WITHIN_S),
        )

    async def _disconnect(self, node_id: str, body: dict[str, Any]) -> dict[str, Any]:
        error = SessionError(str(body.get("message") or "An operator sent this node away"))
        found = self._registry.disconnect(node_id, error, reconnect_after_s=body.get("reconnect_after_s"))
        return {"disconnected": found}
