"""/admin/v1/nodes: who is connected, with which models, doing what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from fastapi import APIRouter, Depends

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import admin_router, errors, operator_only
from control_plane.nodes.schemas import NodeList, NodeSummary
from control_plane.nodes.views import NodeView
from edgewise.wire.errors import NotFoundError


class Nodes(Protocol):
    """What is asked of `control_plane.nodes.registry.NodeRegistry`."""

    def snapshot(self) -> Sequence[NodeView]: ...


def router(nodes: Nodes, keyring: KeyRing) -> APIRouter:
    """Routes over the registry; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("nodes")

    @routes.get("", responses=errors())
    async def list_nodes(kind: Literal["edge", "cloud"] | None = None, by: Principal = Depends(operator)) -> NodeList:
        """Connected nodes by id, of one kind or both."""
        found = [node for node in nodes.snapshot() if kind in (None, node.kind)]
        return NodeList(items=[NodeSummary.of(node) for node in found])

    @routes.get("/{node_id}", responses=errors(404))
    async def get_node(node_id: str, by: Principal = Depends(operator)) -> NodeSummary:
        """One connected node."""
        found = next((node for node in nodes.snapshot() if node.node_id == node_id), None)
        if found is None:
            raise NotFoundError(
                f"Node {node_id[:64]} is not connected here", remedy="list the connected nodes at /admin/v1/nodes"
            )
        return NodeSummary.of(found)

    return routes
