"""/admin/v1/decisions: what was decided, why, and how it ended."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import (
    IdCursor,
    Limit,
    UtcMoment,
    admin_router,
    errors,
    id_cursor,
    next_cursor,
    operator_only,
)
from control_plane.decisions.records import DecisionStatus
from control_plane.decisions.repository import DecisionFilter
from control_plane.decisions.schemas import DecisionPage, DecisionView
from control_plane.decisions.service import Decisions, stream_id_of

Word = Annotated[str | None, Query(max_length=160, pattern=r"^[^\x00]*$")]
Origin = Literal["device", "control_plane"]


def router(decisions: Decisions, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("decisions")

    @routes.get("", responses=errors(404))
    async def list_decisions(
        since: UtcMoment | None = None,
        until: UtcMoment | None = None,
        tier: Word = None,
        rule: Word = None,
        tenant: Word = None,
        stream: Word = None,
        origin: Origin | None = None,
        status: DecisionStatus | None = None,
        after: IdCursor = None,
        limit: Limit = 50,
        by: Principal = Depends(operator),
    ) -> DecisionPage:
        """Decisions, newest first; `tier` matches the tier chosen first or the one that spoke last."""
        sid = stream_id_of(stream) if stream else None
        wanted = DecisionFilter(since, until, tier, rule, tenant, sid, origin, status)
        rows = await decisions.page(wanted, before_id=id_cursor(after), limit=limit)
        items = [DecisionView.model_validate(row) for row in rows]
        return DecisionPage(items=items, next=next_cursor(rows, limit, lambda row: row.stream_id))

    @routes.get("/{stream_id}", responses=errors(404))
    async def get_decision(stream_id: str, by: Principal = Depends(operator)) -> DecisionView:
        """One decision, by stream id or chat completion id."""
        return DecisionView.model_validate(await decisions.get(stream_id))

    return routes
