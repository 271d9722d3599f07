"""NodeAdministration: drain, label and forget nodes. The wish is stored first; every gateway follows it by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from control_plane.nodes.registry import NodeRegistry
from control_plane.nodes.wishes import NodeWish, NodeWishes
from control_plane.telemetry.service import TelemetryIntake
from edgewise.wire.errors import ConflictError, NotFoundError, SessionError

DRAIN_AWAY_S = 60.0
"""How long a node that was drained stays away before it dials again (and waits, without work, to be used again)."""
LOOK_S = 0.1

log = logging.getLogger(__name__)


class NodeAdministration:
    """The service behind the changing half of /admin/v1/nodes."""

    def __init__(
        self,
        registry: NodeRegistry,
        wishes: NodeWishes,
        telemetry: TelemetryIntake,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.wishes = wishes
        self._registry = registry
        self._telemetry = telemetry
        self._sleep = sleep
        self._leaving: dict[str, asyncio.Task[None]] = {}
        wishes.on_changed(self._follow)

    async def drain(self, node_id: str, *, actor: str) -> NodeWish:
        """No new attempts for the node; when its last one has ended it is told to leave. It stays drained over its
        reconnects and ours. Raises NotFoundError for a node that is neither connected nor known."""
        self._require_known(node_id)
        return await self.wishes.drain(node_id, True, actor=actor)

    async def undrain(self, node_id: str, *, actor: str) -> NodeWish:
        """Use the node again. Raises NotFoundError."""
        self._require_known(node_id)
        return await self.wishes.drain(node_id, False, actor=actor)

    async def label(self, node_id: str, labels: Mapping[str, str], *, actor: str) -> NodeWish:
        """Put labels in the place of those that operators set before; a node may be labelled before it first joins."""
        return await self.wishes.label(node_id, labels, actor=actor)

    async def forget(self, node_id: str, *, force: bool, actor: str) -> int:
        """Forget a node's wishes and telemetry; its decisions stay. Returns how many records went.

        Raises ConflictError while it is connected, unless `force` disconnects it; then also what asking the gateway
        raises that has it.
        """
        await self._part(node_id, force)
        count = await self._telemetry.forget(node_id)
        await self.wishes.forget(node_id, actor=actor, after=f"{count} telemetry records")
        self._registry.forget(node_id)
        return count

    async def settle(self) -> None:
        """Stop waiting for drained nodes."""
        for task in self._leaving.values():
            task.cancel()
        await asyncio.gather(*self._leaving.values(), return_exceptions=True)

    def _require_known(self, node_id: str) -> None:
        if self._connected(node_id) is None and self.wishes.of(node_id).empty:
            raise NotFoundError(
                f"Node {node_id[:64]} is neither connected nor known",
                remedy="list the nodes: `edgewise nodes list` or /admin/v1/nodes",
            )

    def _connected(self, node_id: str) -> str | None:
        """The gateway that the node is connected to (empty: this one); None when it is connected nowhere."""
        return next((view.gateway for view in self._registry.snapshot() if view.node_id == node_id), None)

    async def _part(self, node_id: str, force: bool) -> None:
        gateway = self._connected(node_id)
        if gateway is None:
            return
        if not force:
            raise ConflictError(
                f"Node {node_id} is connected" + (f" to gateway {gateway}" if gateway else ""),
                where=f"node {node_id}",
                remedy="stop it first, or ask again with force (`edgewise nodes forget --force`)",
            )
        await self._registry.disconnect_anywhere(node_id, "An operator had this node forgotten", DRAIN_AWAY_S)

    def _follow(self, node_id: str, wish: NodeWish) -> None:
        """A wish changed, here or on another gateway: a drained node that is connected here is to leave when idle."""
        if task := self._leaving.pop(node_id, None):
            task.cancel()
        if wish.drained and self._registry.get(node_id) is not None:
            task = self._leaving[node_id] = asyncio.create_task(self._leave(node_id), name=f"drain-{node_id}")
            task.add_done_callback(lambda done: self._left(node_id, done))

    def _left(self, node_id: str, task: asyncio.Task[None]) -> None:
        if self._leaving.get(node_id) is task:
            del self._leaving[node_id]

    async def _leave(self, node_id: str) -> None:
        while (tier := self._registry.get(node_id)) is not None and tier.open_attempts:
            await self._sleep(LOOK_S)
        drained = SessionError("An operator drained this node", remedy="stop it, or wait until it is used again")
        if self._registry.disconnect(node_id, drained, reconnect_after_s=DRAIN_AWAY_S):
            log.info("node %s is drained and was told to leave", node_id)
