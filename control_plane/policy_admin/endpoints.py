"""/admin/v1/policies: save, validate, activate, roll back, compare, and try a decision without making one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import (
    NUMBER_MAX,
    AdminRoute,
    Handler,
    Limit,
    NumberCursor,
    admin_router,
    errors,
    next_cursor,
    operator_only,
)
from control_plane.policy_admin import bodies
from control_plane.policy_admin.errors import PolicyRejectedError
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
from edgewise.dialects.openai_errors import error_body

Version = Annotated[int, Path(ge=1, le=NUMBER_MAX)]
_UNCHECKED = Change()
_REFUSED: dict[int | str, dict[str, Any]] = {422: {"model": Rejected}}


class _PolicyRoute(AdminRoute):
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


def router(store: PolicyStore, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("policies", _PolicyRoute)
    _add_reading(routes, store, operator)
    _add_changing(routes, store, operator)
    _add_trying(routes, store, operator)
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
    @routes.post("", status_code=201, responses=errors(413) | _REFUSED, openapi_extra=bodies.OPENAPI)
    async def create_policy(request: Request, by: Principal = Depends(operator)) -> PolicyView:
        """Save a document as the next version; with `activate` it is in force when this answers."""
        wanted = await bodies.read_policy(request)
        save = store.create_and_activate if wanted.activate else store.create
        return _view(await save(wanted.text, note=wanted.note, actor=by.key_id), store)

    @routes.post("/rollback", responses=errors(409))
    async def roll_back(change: Change = _UNCHECKED, by: Principal = Depends(operator)) -> InForce:
        """Return to the policy that was in force before this one."""
        return InForce.of(await store.roll_back(actor=by.key_id, expected_digest=change.expected_digest))

    @routes.post("/{version}/activate", responses=errors(404, 409) | _REFUSED)
    async def activate_policy(
        version: Version, change: Change = _UNCHECKED, by: Principal = Depends(operator)
    ) -> InForce:
        """Put a version in force, once its own tests pass."""
        return InForce.of(await store.activate(version, actor=by.key_id, expected_digest=change.expected_digest))


def _add_trying(routes: APIRouter, store: PolicyStore, operator: Callable[..., Any]) -> None:
    @routes.post("/validate", responses=errors(413) | _REFUSED, openapi_extra=bodies.OPENAPI)
    async def validate_policy(request: Request, by: Principal = Depends(operator)) -> Validated:
        """Check a document and run its tests; nothing is saved."""
        policy = await store.compile((await bodies.read_policy(request)).text)
        return await asyncio.to_thread(Validated.of, policy)

    @routes.post("/active/explain", responses=errors())
    async def explain_active(wanted: Facts, by: Principal = Depends(operator)) -> Explained:
        """What the policy in force would decide for these facts, and why; nothing is recorded."""
        return Explained.model_validate(store.active.explain(wanted.facts).to_dict())

    @routes.post("/{version}/explain", responses=errors(404) | _REFUSED)
    async def explain_version(version: Version, wanted: Facts, by: Principal = Depends(operator)) -> Explained:
        """The same for any version."""
        policy = await store.compile((await store.get(version)).text)
        return Explained.model_validate(policy.explain(wanted.facts).to_dict())


def _view(row: PolicyVersionRow, store: PolicyStore) -> PolicyView:
    return PolicyView.model_validate(row).model_copy(update={"active": row.version == store.current.version})
