"""/admin/v1/policy-rollouts: ask for a rollout, see how it stands, approve, hold, resume, roll back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import (
    NUMBER_MAX,
    Limit,
    NumberCursor,
    admin_router,
    audited,
    errors,
    next_cursor,
    operator_only,
)
from control_plane.policy_admin.bodies import openapi_body, read_document
from control_plane.policy_admin.endpoints import PolicyRoute
from control_plane.policy_admin.schemas import Rejected
from control_plane.policy_rollouts.schemas import NewRollout, RolloutPage, RolloutSummary, RolloutView, Why
from control_plane.policy_rollouts.service import PolicyRollouts
from policies.rollout import Approved, HoldAsked, Resumed, RollBackAsked

RolloutId = Annotated[int, Path(ge=1, le=NUMBER_MAX)]
_NO_REASON = Why()


def router(rollouts: PolicyRollouts, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("policy-rollouts", PolicyRoute)

    @routes.post(
        "",
        status_code=201,
        responses=errors(404, 409, 413) | {422: {"model": Rejected}},
        openapi_extra=openapi_body(NewRollout) | audited("policy_rollout.create"),
    )
    async def create_rollout(request: Request, by: Principal = Depends(operator)) -> RolloutView:
        """Ask for a rollout of a saved version that passes its own tests. One is open at a time."""
        wanted = await read_document(request, NewRollout, "rollout")
        return await _view((await rollouts.create(wanted.text, actor=by.key_id)).id)

    @routes.get("", responses=errors())
    async def list_rollouts(
        after: NumberCursor = None, limit: Limit = 50, by: Principal = Depends(operator)
    ) -> RolloutPage:
        """Rollouts, newest first."""
        rows = await rollouts.page(below=after, limit=limit)
        items = [RolloutSummary.of(row) for row in rows]
        return RolloutPage(items=items, next=next_cursor(rows, limit, lambda row: row.id))

    @routes.get("/{rollout_id}", responses=errors(404))
    async def get_rollout(rollout_id: RolloutId, by: Principal = Depends(operator)) -> RolloutView:
        """One rollout: its stages, how each gate stands, what it waits for, who did what."""
        return await _view(rollout_id)

    @routes.post("/{rollout_id}/approve", responses=errors(404, 409), openapi_extra=audited("policy_rollout.approve"))
    async def approve_rollout(rollout_id: RolloutId, by: Principal = Depends(operator)) -> RolloutView:
        """Agree to it. One key counts once; the key that asked for it counts only where the plan lets it."""
        await rollouts.act(rollout_id, Approved(by.key_id, rollouts.now_s()))
        return await _view(rollout_id)

    @routes.post("/{rollout_id}/hold", responses=errors(404, 409), openapi_extra=audited("policy_rollout.hold"))
    async def hold_rollout(
        rollout_id: RolloutId, reason: Why = _NO_REASON, by: Principal = Depends(operator)
    ) -> RolloutView:
        """Leave the stage as it is until it is resumed."""
        await rollouts.act(rollout_id, HoldAsked(by.key_id, rollouts.now_s(), reason.why))
        return await _view(rollout_id)

    @routes.post("/{rollout_id}/resume", responses=errors(404, 409), openapi_extra=audited("policy_rollout.resume"))
    async def resume_rollout(rollout_id: RolloutId, by: Principal = Depends(operator)) -> RolloutView:
        """Let it go on; after a breach, the stage and its measuring begin anew."""
        await rollouts.act(rollout_id, Resumed(by.key_id, rollouts.now_s()))
        return await _view(rollout_id)

    @routes.post(
        "/{rollout_id}/roll-back", responses=errors(404, 409), openapi_extra=audited("policy_rollout.rollback")
    )
    async def roll_back_rollout(
        rollout_id: RolloutId, reason: Why = _NO_REASON, by: Principal = Depends(operator)
    ) -> RolloutView:
        """End it: the old policy decides for everybody, at once."""
        await rollouts.act(rollout_id, RollBackAsked(by.key_id, rollouts.now_s(), reason.why))
        return await _view(rollout_id)

    async def _view(rollout_id: int) -> RolloutView:
        return RolloutView.of_report(await rollouts.report(rollout_id), rollouts.now())

    return routes
