"""/admin/v1/latency and /admin/v1/diagnostics: where time goes, and the diagnostic lines of chosen streams."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import UtcMoment, admin_router, audited, errors, operator_only
from control_plane.audit.service import AuditTrail
from control_plane.observing.schemas import DiagnosticsView, LatencyView
from control_plane.observing.service import Latency
from edgewise.observability.diagnostics import Diagnostics, Rules

ANSWERS_MAX = 10_000
Word = Annotated[str | None, Query(max_length=160, pattern=r"^[^\x00]*$")]
Newest = Annotated[int, Query(ge=1, le=ANSWERS_MAX, description="How many answers, from the newest on")]


def latency_router(latency: Latency, keyring: KeyRing) -> APIRouter:
    """Routes over the latency summary; the role operator is needed."""
    operator = operator_only(keyring)
    routes = admin_router("latency")

    @routes.get("", responses=errors())
    async def summarize_latency(
        since: UtcMoment | None = None,
        tier: Word = None,
        answers: Newest = 1000,
        by: Principal = Depends(operator),
    ) -> LatencyView:
        """Percentiles at the five latency points; `tier` is the one that spoke last."""
        return await latency.summary(since=since, tier=tier, limit=answers)

    return routes


def diagnostics_router(diagnostics: Diagnostics, keyring: KeyRing, audit: AuditTrail) -> APIRouter:
    """Routes over the switch of this gateway; the role operator is needed."""
    operator = operator_only(keyring)
    routes = admin_router("diagnostics")

    @routes.get("", responses=errors())
    async def show_diagnostics(by: Principal = Depends(operator)) -> DiagnosticsView:
        """Which streams write diagnostic lines on the gateway that answers."""
        return _view(diagnostics.rules)

    @routes.put("", responses=errors(), openapi_extra=audited("diagnostics.switch"))
    async def switch_diagnostics(wanted: DiagnosticsView, by: Principal = Depends(operator)) -> DiagnosticsView:
        """Switch them, running streams too; an empty object switches all off."""
        before = diagnostics.rules
        diagnostics.switch(Rules(wanted.share, frozenset(wanted.streams), frozenset(wanted.keys)))
        await audit.note(
            actor=by.key_id,
            action="diagnostics.switch",
            target="diagnostics",
            before=_shown(before),
            after=_shown(diagnostics.rules),
        )
        return _view(diagnostics.rules)

    return routes


def _shown(rules: Rules) -> str:
    return f"share {rules.share:g}, {len(rules.streams)} streams, {len(rules.keys)} keys"


def _view(rules: Rules) -> DiagnosticsView:
    return DiagnosticsView(share=rules.share, streams=sorted(rules.streams), keys=sorted(rules.keys))
