"""What the registry asks about nodes of other gateways. control_plane/gateways answers; one gateway alone has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from control_plane.nodes.report import NodeReport
from control_plane.nodes.tier import ConnectedTier
from edgewise.routing.tier import TierKind


class RemoteNodes(Protocol):
    """Nodes that are connected to other gateways (control_plane/gateways); memory only."""

    def tiers(self, kind: TierKind) -> Sequence[ConnectedTier]: ...
    def node(self, node_id: str) -> NodeReport | None: ...
    def nodes(self) -> Sequence[NodeReport]: ...
    def local_changed(self) -> None:
        """A node came to this gateway, or left it."""
        ...

    async def disconnect(self, node_id: str, message: str, reconnect_after_s: float) -> bool:
        """Have the gateway of a node send it away; whether it was connected. Raises what asking it raises."""
        ...


class NoRemoteNodes:
    """One gateway alone."""

    def tiers(self, kind: TierKind) -> Sequence[ConnectedTier]:
        return ()

    def node(self, node_id: str) -> NodeReport | None:
        return None

    def nodes(self) -> Sequence[NodeReport]:
        return ()

    def local_changed(self) -> None:
        """Nobody is interested."""

    async def disconnect(self, node_id: str, message: str, reconnect_after_s: float) -> bool:
        return False
