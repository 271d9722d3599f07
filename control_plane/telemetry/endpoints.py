"""/admin/v1/nodes/{node_id}/telemetry: what a node reported, whether it is connected or not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import Limit, admin_router, errors, next_cursor, operator_only
from control_plane.telemetry.schemas import TelemetryPage, TelemetryView
from control_plane.telemetry.service import TelemetryIntake
from edgewise.wire.limits import NODE_ID_MAX_CHARS

NodeName = Annotated[str, Path(max_length=NODE_ID_MAX_CHARS, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Kind = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$", examples=["device"])]
Before = Annotated[int | None, Query(ge=1, le=2**53, description="The `next` of the page before.")]


def router(intake: TelemetryIntake, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("nodes")

    @routes.get("/{node_id}/telemetry", responses=errors())
    async def list_telemetry(
        node_id: NodeName,
        kind: Kind = None,
        before: Before = None,
        limit: Limit = 50,
        by: Principal = Depends(operator),
    ) -> TelemetryPage:
        """Records of one node, the last to arrive first; empty for a node that never reported."""
        rows = await intake.page(node_id, kind=kind, before_id=before, limit=limit)
        items = [TelemetryView.model_validate(row) for row in rows]
        return TelemetryPage(items=items, next=next_cursor(rows, limit, lambda row: row.id))

    return routes
