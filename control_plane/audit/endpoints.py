"""/admin/v1/audit: reading the audit log."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import Limit, NumberCursor, admin_router, errors, next_cursor, operator_only
from control_plane.audit.schemas import AuditPage, AuditView
from control_plane.audit.service import AuditTrail


def router(audit: AuditTrail, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("audit")

    @routes.get("", responses=errors())
    async def list_audit(
        action: str | None = Query(None, max_length=64, pattern=r"^[^\x00]*$", examples=["policy.activate"]),
        target: str | None = Query(None, max_length=160, pattern=r"^[^\x00]*$", examples=["policy/2"]),
        after: NumberCursor = None,
        limit: Limit = 50,
        by: Principal = Depends(operator),
    ) -> AuditPage:
        """Every change, newest first."""
        rows = await audit.page(before_id=after, limit=limit, action=action, target=target)
        items = [AuditView.model_validate(row) for row in rows]
        return AuditPage(items=items, next=next_cursor(rows, limit, lambda row: row.id))

    return routes
