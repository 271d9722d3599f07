"""/admin/v1/decisions: what was decided, why, and how it ended; searched, counted, exported."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import (
    IdCursor,
    Limit,
    UtcMoment,
    Word,
    admin_router,
    errors,
    id_cursor,
    next_cursor,
    operator_only,
)
from control_plane.decisions.records import DecisionStatus
from control_plane.decisions.repository import DecisionFilter
from control_plane.decisions.schemas import DecisionPage, DecisionSummary, DecisionView
from control_plane.decisions.service import Decisions, stream_id_of
from control_plane.exports import RESPONSES, ExportFormat, export_response

Origin = Literal["device", "control_plane"]
Milliseconds = Annotated[float | None, Query(ge=0, le=1e9, allow_inf_nan=False, description="Milliseconds")]


def wanted_decisions(
    since: UtcMoment | None = None,
    until: UtcMoment | None = None,
    tier: Word = None,
    rule: Word = None,
    tenant: Word = None,
    stream: Word = None,
    origin: Origin | None = None,
    status: DecisionStatus | None = None,
    key: Word = None,
    mode: Word = None,
    model: Word = None,
    policy: Annotated[
        str | None, Query(max_length=80, pattern=r"^[^\x00]*$", description="A digest, or its beginning")
    ] = None,
    min_first_token_ms: Milliseconds = None,
    min_total_ms: Milliseconds = None,
) -> DecisionFilter:
    """The filters of every route here; `tier` matches the tier chosen first or the one that spoke last, `key` a key id.

    Raises DecisionNotFoundError for a `stream` that is no id.
    """
    return DecisionFilter(
        since=since,
        until=until,
        tier=tier,
        rule=rule,
        tenant=tenant,
        stream_id=stream_id_of(stream) if stream else None,
        origin=origin,
        status=status,
        key_id=key,
        mode=mode,
        model=model,
        policy_digest=policy,
        min_first_token_s=None if min_first_token_ms is None else min_first_token_ms / 1000,
        min_total_s=None if min_total_ms is None else min_total_ms / 1000,
    )


Wanted = Annotated[DecisionFilter, Depends(wanted_decisions)]


def router(decisions: Decisions, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("decisions")

    @routes.get("", responses=errors(404))
    async def list_decisions(
        wanted: Wanted, after: IdCursor = None, limit: Limit = 50, by: Principal = Depends(operator)
    ) -> DecisionPage:
        """Decisions, newest first."""
        rows = await decisions.page(wanted, before_id=id_cursor(after), limit=limit)
        items = [DecisionView.model_validate(row) for row in rows]
        return DecisionPage(items=items, next=next_cursor(rows, limit, lambda row: row.stream_id))

    @routes.get("/summary", responses=errors(404))
    async def summarize_decisions(wanted: Wanted, by: Principal = Depends(operator)) -> DecisionSummary:
        """Counts by mode, rule, tier and more, and quantiles of the time to the first token."""
        return DecisionSummary.of(await decisions.summary(wanted))

    @routes.get("/export", responses=errors(404) | RESPONSES, response_class=StreamingResponse)
    async def export_decisions(
        request: Request, wanted: Wanted, format: ExportFormat = "jsonl", by: Principal = Depends(operator)
    ) -> StreamingResponse:
        """Every decision that matches, newest first, streamed; gzip where the client accepts it."""
        return await export_response(request, format, DecisionView, decisions.pages(wanted), "decisions")

    @routes.get("/{stream_id}", responses=errors(404))
    async def get_decision(stream_id: str, by: Principal = Depends(operator)) -> DecisionView:
        """One decision, by stream id or chat completion id."""
        return DecisionView.model_validate(await decisions.get(stream_id))

    return routes
