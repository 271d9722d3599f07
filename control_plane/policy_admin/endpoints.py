"""/admin/v1/policies: save, validate, activate, roll back, compare, and try a decision without making one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import (
    NUMBER_MAX,
    UNAUDITED,
    AdminRoute,
    Handler,
    Limit,
    NumberCursor,
    admin_router,
    audited,
    errors,
    next_cursor,
    operator_only,
)
from control_plane.policy_admin import bodies
from control_plane.policy_admin.analysis import Analyst, text_changes
from control_plane.policy_admin.draft_schemas import (
    Compared,
    DiffWanted,
    Draft,
    DryRun,
    Replayed,
    ReplayWanted,
    Tried,
)
from control_plane.policy_admin.errors import PolicyRejectedError
from control_plane.policy_admin.replay import CostOf, Recorded, no_cost, replay
from control_plane.policy_admin.schemas import (
    Change,
    Explained,
    Facts,
    InForce,
    PolicyPage,
    PolicySummary,
    PolicyView,
    Rejected,
    Validated,
)
from control_plane.policy_admin.service import PolicyStore
from control_plane.policy_admin.tables import PolicyVersionRow
from control_plane.policy_admin.trying import HealthyWorld, World, gather, try_request
from edgewise.dialects.openai_errors import error_body
from policies import Policy

Version = Annotated[int, Path(ge=1, le=NUMBER_MAX)]
RecordedDecisions = Callable[[datetime | None, str | None, int], AsyncIterator[Sequence[Recorded]]]
"""Pages of the newest decisions: (since, tenant, how many)."""
_UNCHECKED = Change()
_REFUSED: dict[int | str, dict[str, Any]] = {422: {"model": Rejected}}


class PolicyRoute(AdminRoute):
    """Puts every problem of a refused document beside the usual error."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_refusals(request: Request) -> Response:
            try:
                return await handle(request)
            except PolicyRejectedError as error:
                body = Rejected.body(error_body(error.info()), error.problems)
                return JSONResponse(body, status_code=error.http_status)

        return handle_refusals


def router(
    store: PolicyStore,
    keyring: KeyRing,
    *,
    world: World | None = None,
    recorded: RecordedDecisions | None = None,
    cost_of: CostOf = no_cost,
) -> APIRouter:
    """Routes over the service; every one needs the role operator.

    world: what dry runs know of devices and the cloud now. recorded: pages of decisions, for replays;
    cost_of: what their answers cost.
    """
    operator = operator_only(keyring)
    routes = admin_router("policies", PolicyRoute)
    _add_reading(routes, store, operator)
    _add_changing(routes, store, operator)
    _add_trying(routes, store, operator, Analyst())
    _add_dry_runs(routes, store, operator, world or HealthyWorld(), recorded or _no_decisions, cost_of)
    return routes


def _add_reading(routes: APIRouter, store: PolicyStore, operator: Callable[..., Any]) -> None:
    @routes.get("", responses=errors())
    async def list_policies(
        after: NumberCursor = None, limit: Limit = 50, by: Principal = Depends(operator)
    ) -> PolicyPage:
        """Versions, newest first."""
        rows = await store.page(below=after, limit=limit)
        items = [PolicySummary.model_validate(row) for row in rows]
        items = [item.model_copy(update={"active": item.version == store.current.version}) for item in items]
        return PolicyPage(items=items, next=next_cursor(rows, limit, lambda row: row.version))

    @routes.get("/active", responses=errors())
    async def get_active_policy(by: Principal = Depends(operator)) -> PolicyView:
        """The policy in force."""
        return _view(await store.get(store.current.version), store)

    @routes.get("/active/text", responses=errors(), response_class=PlainTextResponse)
    async def get_active_text(by: Principal = Depends(operator)) -> str:
        """The YAML of the policy in force, to be edited and sent back."""
        return store.current.text

    @routes.get("/{version}", responses=errors(404))
    async def get_policy(version: Version, by: Principal = Depends(operator)) -> PolicyView:
        """One version with its text."""
        return _view(await store.get(version), store)

    @routes.get("/{version}/diff", responses=errors(404), response_class=PlainTextResponse)
    async def compare_policies(
        version: Version,
        against: Annotated[int | None, Query(ge=1, le=NUMBER_MAX)] = None,
        by: Principal = Depends(operator),
    ) -> str:
        """What changed from `against` (the policy in force, when left out) to this version, as a unified diff."""
        return await store.diff(against or store.current.version, version)


def _add_changing(routes: APIRouter, store: PolicyStore, operator: Callable[..., Any]) -> None:
    @routes.post(
        "",
        status_code=201,
        responses=errors(409, 413) | _REFUSED,
        openapi_extra=bodies.OPENAPI | audited("policy.create"),
    )
    async def create_policy(request: Request, by: Principal = Depends(operator)) -> PolicyView:
        """Save a document as the next version; with `activate` it is in force when this answers."""
        wanted = await bodies.read_policy(request)
        told: dict[str, Any] = {"note": wanted.note, "actor": by.key_id}
        if not wanted.activate:
            return _view(await store.create(wanted.text, **told), store)
        row = await store.create_and_activate(wanted.text, expected_digest=wanted.expected_digest, **told)
        return _view(row, store)

    @routes.post("/rollback", responses=errors(409), openapi_extra=audited("policy.rollback"))
    async def roll_back(change: Change = _UNCHECKED, by: Principal = Depends(operator)) -> InForce:
        """Return to the policy that was in force before this one."""
        return InForce.of(await store.roll_back(actor=by.key_id, expected_digest=change.expected_digest))

    @routes.post(
        "/{version}/activate",
        responses=errors(404, 409) | _REFUSED,
        openapi_extra=audited("policy.activate"),
    )
    async def activate_policy(
        version: Version, change: Change = _UNCHECKED, by: Principal = Depends(operator)
    ) -> InForce:
        """Put a version in force, once its own tests pass."""
        return InForce.of(await store.activate(version, actor=by.key_id, expected_digest=change.expected_digest))


def _add_trying(routes: APIRouter, store: PolicyStore, operator: Callable[..., Any], analyst: Analyst) -> None:
    @routes.post("/validate", responses=errors(413) | _REFUSED, openapi_extra=bodies.OPENAPI | UNAUDITED)
    async def validate_policy(request: Request, by: Principal = Depends(operator)) -> Validated:
        """Check a document, run its tests and look for what is odd about it; nothing is saved."""
        policy = await store.compile((await bodies.read_policy(request)).text)
        return await asyncio.to_thread(Validated.of, policy, await analyst.report(policy))

    @routes.post("/diff", responses=errors(404, 413) | _REFUSED, openapi_extra=UNAUDITED)
    async def compare_drafts(wanted: DiffWanted, by: Principal = Depends(operator)) -> Compared:
        """What changes from one policy to another: in the text, and in decisions, with facts for each kind of
        change. Nothing is saved."""
        old, new = await _wanted(store, wanted.old), await _wanted(store, wanted.new)
        return Compared.of(await text_changes(old, new), await analyst.changes(old, new))

    @routes.post("/active/explain", responses=errors(), openapi_extra=UNAUDITED)
    async def explain_active(wanted: Facts, by: Principal = Depends(operator)) -> Explained:
        """What the policy in force would decide for these facts, and why; nothing is recorded."""
        return Explained.model_validate((await store.explain(store.active, wanted.facts)).to_dict())

    @routes.post("/{version}/explain", responses=errors(404) | _REFUSED, openapi_extra=UNAUDITED)
    async def explain_version(version: Version, wanted: Facts, by: Principal = Depends(operator)) -> Explained:
        """The same for any version."""
        policy = await store.compile((await store.get(version)).text)
        return Explained.model_validate((await store.explain(policy, wanted.facts)).to_dict())


def _add_dry_runs(
    routes: APIRouter,
    store: PolicyStore,
    operator: Callable[..., Any],
    world: World,
    recorded: RecordedDecisions,
    cost_of: CostOf,
) -> None:
    @routes.post("/dry-run", responses=errors(404, 413) | _REFUSED, openapi_extra=UNAUDITED)
    async def dry_run(wanted: DryRun, by: Principal = Depends(operator)) -> Tried:
        """What a policy would decide for this request, and in what that differs from the policy in force. Messages
        become facts and are forgotten: they are neither stored nor logged."""
        policy = await _wanted(store, wanted)
        request = wanted.request()
        facts = await asyncio.to_thread(gather, request, world.facts(request.device), world.prompt_tokens)
        return Tried.of(await try_request(policy, store.active, facts))

    @routes.post("/replay", responses=errors(404, 413) | _REFUSED, openapi_extra=UNAUDITED)
    async def replay_decisions(wanted: ReplayWanted, by: Principal = Depends(operator)) -> Replayed:
        """What a policy would have changed over the newest recorded decisions."""
        policy = await _wanted(store, wanted)
        pages = recorded(wanted.since, wanted.tenant, wanted.last)
        return Replayed.of(policy.digest, await replay(policy, store.active, pages, cost_of))


async def _wanted(store: PolicyStore, draft: Draft) -> Policy:
    """The policy to be tried. Raises PolicyNotFoundError, PolicyRejectedError."""
    if draft.text is not None:
        return await store.compile(draft.text)
    return store.active if draft.version is None else await store.compile((await store.get(draft.version)).text)


async def _no_decisions(since: datetime | None, tenant: str | None, last: int) -> AsyncIterator[Sequence[Recorded]]:
    """Nothing was recorded."""
    nothing: tuple[Sequence[Recorded], ...] = ()
    for page in nothing:
        yield page


def _view(row: PolicyVersionRow, store: PolicyStore) -> PolicyView:
    return PolicyView.model_validate(row).model_copy(update={"active": row.version == store.current.version})
