"""/admin/v1/gateways: who is alive beside the gateway that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastapi import APIRouter, Depends

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import admin_router, errors, operator_only
from control_plane.gateways.messages import GatewayPresence
from control_plane.gateways.schemas import GatewayList, GatewayView
from control_plane.nodes.report import NodeReport


class Others(Protocol):
    """What is asked of `control_plane.gateways.service.Gateways`."""

    @property
    def gateway_id(self) -> str: ...
    def live(self) -> list[GatewayPresence]: ...
    def reports(self) -> Sequence[NodeReport]: ...


def router(gateways: Others, keyring: KeyRing) -> APIRouter:
    """The route over presence; it needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("gateways")

    @routes.get("", responses=errors())
    async def list_gateways(by: Principal = Depends(operator)) -> GatewayList:
        """Live gateways with their nodes and running answers, the one that answers first."""
        nodes: dict[str, list[str]] = {}
        for node in gateways.reports():
            nodes.setdefault(node.gateway_id or gateways.gateway_id, []).append(node.node_id)
        items = [
            GatewayView.of(
                each, nodes=sorted(nodes.get(each.gateway_id, [])), answering=each.gateway_id == gateways.gateway_id
            )
            for each in gateways.live()
        ]
        return GatewayList(items=items)

    return routes
