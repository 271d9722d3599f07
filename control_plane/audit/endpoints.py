"""/admin/v1/audit: reading the audit log, page by page or whole."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import Limit, NumberCursor, UtcMoment, admin_router, errors, next_cursor, operator_only
from control_plane.audit.repository import AuditFilter
from control_plane.audit.schemas import AuditPage, AuditView
from control_plane.audit.service import AuditTrail
from control_plane.exports import RESPONSES, ExportFormat, export_response

Action = Annotated[
    str | None,
    Query(
        max_length=64, pattern=r"^[^\x00]*$", examples=["policy.activate"], description="Whole, or a family: `policy`"
    ),
]
Target = Annotated[str | None, Query(max_length=160, pattern=r"^[^\x00]*$", examples=["policy/2"])]
Actor = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$", description="A key id, or `system`")]


def router(audit: AuditTrail, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("audit")

    @routes.get("", responses=errors())
    async def list_audit(
        since: UtcMoment | None = None,
        until: UtcMoment | None = None,
        actor: Actor = None,
        action: Action = None,
        target: Target = None,
        after: NumberCursor = None,
        limit: Limit = 50,
        by: Principal = Depends(operator),
    ) -> AuditPage:
        """Every change, newest first."""
        wanted = AuditFilter(since, until, actor, action, target)
        rows = await audit.search(wanted, before_id=after, limit=limit)
        items = [AuditView.model_validate(row) for row in rows]
        return AuditPage(items=items, next=next_cursor(rows, limit, lambda row: row.id))

    @routes.get("/export", responses=errors() | RESPONSES, response_class=StreamingResponse)
    async def export_audit(
        request: Request,
        format: ExportFormat = "jsonl",
        since: UtcMoment | None = None,
        until: UtcMoment | None = None,
        actor: Actor = None,
        action: Action = None,
        target: Target = None,
        by: Principal = Depends(operator),
    ) -> StreamingResponse:
        """Every change that matches, streamed."""
        wanted = AuditFilter(since, until, actor, action, target)
        return await export_response(request, format, AuditView, audit.pages(wanted), "audit")

    return routes
