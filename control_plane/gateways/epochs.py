"""Connection epochs over all gateways: a node that moves gets a higher one, so that its older registration is stale."""

from __future__ import annotations

import asyncio
import logging

from control_plane.gateways.store import PresenceStore
from control_plane.nodes.registry import MemoryEpochs
from edgewise.wire.errors import LogUnavailableError

log = logging.getLogger(__name__)

WITHIN_S = 1.0


class SharedEpochs:
    """Asks the store; while that is away, this process counts on by itself, and the node remembers how far it was."""

    def __init__(self, store: PresenceStore, *, within_s: float = WITHIN_S) -> None:
        self._store = store
        self._within_s = within_s
        self._own = MemoryEpochs()

    async def __call__(self, node_id: str, at_least: int) -> int:
        try:
            async with asyncio.timeout(self._within_s):
                at_least = await self._store.next_epoch(node_id, at_least) - 1
        except (LogUnavailableError, TimeoutError) as error:
            log.warning("the connection epoch of node %s is counted here only: %s", node_id, error)
        return await self._own(node_id, at_least)
