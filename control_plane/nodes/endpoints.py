"""/admin/v1/nodes: who is connected, with which models, doing what; drain, label and forget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends, Path, Query

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import admin_router, audited, errors, operator_only
from control_plane.nodes.administration import NodeAdministration
from control_plane.nodes.schemas import AwayNode, Forgotten, Labels, NodeList, NodeSummary, WishView
from control_plane.nodes.views import NodeView
from control_plane.nodes.wishes import NO_WISH, NodeWish, NodeWishes
from edgewise.wire.errors import NotFoundError
from edgewise.wire.limits import NODE_ID_MAX_CHARS

NodeName = Annotated[str, Path(max_length=NODE_ID_MAX_CHARS, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
OthersWanted = Callable[[NodeView], dict[str, str]]
"""Gives, for a connected node, name → version of the models of which another version is wanted."""


class Nodes(Protocol):
    """What is asked of `control_plane.nodes.registry.NodeRegistry`."""

    def snapshot(self) -> Sequence[NodeView]: ...


def router(
    nodes: Nodes,
    keyring: KeyRing,
    administration: NodeAdministration | None = None,
    others_wanted: OthersWanted = lambda node: {},
) -> APIRouter:
    """Routes over the registry, and over `administration` where there is one; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("nodes")
    wishes = administration.wishes if administration else None
    _add_reading(routes, nodes, wishes, others_wanted, operator)
    if administration is not None:
        _add_changing(routes, administration, operator)
    return routes


def _add_reading(
    routes: APIRouter,
    nodes: Nodes,
    wishes: NodeWishes | None,
    others_wanted: OthersWanted,
    operator: Callable[..., Any],
) -> None:
    def wish(node_id: str) -> NodeWish:
        return wishes.of(node_id) if wishes else NO_WISH

    @routes.get("", responses=errors())
    async def list_nodes(kind: Literal["edge", "cloud"] | None = None, by: Principal = Depends(operator)) -> NodeList:
        """Connected nodes by id, of one kind or both; and those away of which operators wish something."""
        connected = nodes.snapshot()
        here = {node.node_id for node in connected}
        shown = [NodeSummary.of(n, wish(n.node_id), others_wanted(n)) for n in connected if kind in (None, n.kind)]
        away = [AwayNode.of(name, each) for name, each in (wishes.all() if wishes else ()) if name not in here]
        return NodeList(items=shown, away=away)

    @routes.get("/{node_id}", responses=errors(404))
    async def get_node(node_id: NodeName, by: Principal = Depends(operator)) -> NodeSummary:
        """One connected node."""
        found = next((node for node in nodes.snapshot() if node.node_id == node_id), None)
        if found is None:
            raise NotFoundError(
                f"Node {node_id} is not connected", remedy="list the nodes: `edgewise nodes list` or /admin/v1/nodes"
            )
        return NodeSummary.of(found, wish(node_id), others_wanted(found))


def _add_changing(routes: APIRouter, administration: NodeAdministration, operator: Callable[..., Any]) -> None:
    @routes.post("/{node_id}/drain", responses=errors(404), openapi_extra=audited("node.drain"))
    async def drain_node(node_id: NodeName, by: Principal = Depends(operator)) -> WishView:
        """No new attempts; when the running ones have ended, the node is told to leave. It stays drained."""
        return WishView.of(await administration.drain(node_id, actor=by.key_id))

    @routes.delete("/{node_id}/drain", responses=errors(404), openapi_extra=audited("node.undrain"))
    async def undrain_node(node_id: NodeName, by: Principal = Depends(operator)) -> WishView:
        """Use the node again."""
        return WishView.of(await administration.undrain(node_id, actor=by.key_id))

    @routes.put("/{node_id}/labels", responses=errors(), openapi_extra=audited("node.labels"))
    async def label_node(node_id: NodeName, wanted: Labels, by: Principal = Depends(operator)) -> WishView:
        """Labels that override the node's own, in the place of all that were set here before; none takes them away."""
        return WishView.of(await administration.label(node_id, wanted.labels, actor=by.key_id))

    @routes.delete("/{node_id}", responses=errors(409), openapi_extra=audited("node.forget"))
    async def forget_node(
        node_id: NodeName,
        force: Annotated[bool, Query(description="Disconnect it first where it is connected")] = False,
        by: Principal = Depends(operator),
    ) -> Forgotten:
        """Forget what is remembered of a node: telemetry, drain and labels. Its decisions stay."""
        count = await administration.forget(node_id, force=force, actor=by.key_id)
        return Forgotten(node_id=node_id, telemetry_records=count)
