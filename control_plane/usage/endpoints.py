"""/admin/v1/limits and /admin/v1/usage for operators; /v1/usage for the caller's own key."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import Limit, Word, admin_router, audited, errors, operator_only
from control_plane.usage.limits import NO_LIMITS, TENANT_MAX_CHARS
from control_plane.usage.reports import UsageReports
from control_plane.usage.repository import UsageFilter
from control_plane.usage.schemas import LimitsBody, LimitsView, OwnUsage, UsagePage, UsageView

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer ek_…`")
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before")]
Tenant = Annotated[str, Path(max_length=TENANT_MAX_CHARS, pattern=r"^[^\x00]+$")]


def routers(reports: UsageReports, keyring: KeyRing) -> list[APIRouter]:
    """Routes over the services."""
    return [_limits(reports, keyring), _usage(reports, keyring), _own(reports, keyring)]


def _limits(reports: UsageReports, keyring: KeyRing) -> APIRouter:
    operator = operator_only(keyring)
    routes = admin_router("limits")

    @routes.get("/tenants/{tenant}", responses=errors())
    async def get_tenant_limits(tenant: Tenant, by: Principal = Depends(operator)) -> LimitsView:
        """The limits that all keys of a tenant share, and how they stand."""
        return await reports.standing("tenant", tenant)

    @routes.put("/tenants/{tenant}", responses=errors(413), openapi_extra=audited("limits.set"))
    async def put_tenant_limits(tenant: Tenant, body: LimitsBody, by: Principal = Depends(operator)) -> LimitsView:
        """Replace a tenant's limits; they hold for the next request."""
        await reports.book.change("tenant", tenant, body.limits(), by)
        return await reports.standing("tenant", tenant)

    @routes.delete("/tenants/{tenant}", responses=errors(), openapi_extra=audited("limits.clear"))
    async def clear_tenant_limits(tenant: Tenant, by: Principal = Depends(operator)) -> LimitsView:
        """Take every limit from a tenant."""
        await reports.book.change("tenant", tenant, NO_LIMITS, by)
        return await reports.standing("tenant", tenant)

    @routes.get("/{key_id}", responses=errors(404))
    async def get_limits(key_id: str, by: Principal = Depends(operator)) -> LimitsView:
        """A key's limits, and how they stand."""
        return await reports.standing("key", key_id)

    @routes.put("/{key_id}", responses=errors(404, 413), openapi_extra=audited("limits.set"))
    async def put_limits(key_id: str, body: LimitsBody, by: Principal = Depends(operator)) -> LimitsView:
        """Replace a key's limits; they hold for the next request."""
        await reports.book.change("key", key_id, body.limits(), by)
        return await reports.standing("key", key_id)

    @routes.delete("/{key_id}", responses=errors(404), openapi_extra=audited("limits.clear"))
    async def clear_limits(key_id: str, by: Principal = Depends(operator)) -> LimitsView:
        """Take every limit from a key."""
        await reports.book.change("key", key_id, NO_LIMITS, by)
        return await reports.standing("key", key_id)

    return routes


def _usage(reports: UsageReports, keyring: KeyRing) -> APIRouter:
    operator = operator_only(keyring)
    routes = admin_router("usage")

    @routes.get("", responses=errors())
    async def list_usage(
        key: Word = None,
        tenant: Word = None,
        since: date | None = None,
        until: date | None = None,
        after: Cursor = None,
        limit: Limit = 50,
        by: Principal = Depends(operator),
    ) -> UsagePage:
        """What was used, by key, tenant, UTC day, kind of tier and model, the newest day first."""
        rows, following = await reports.page(UsageFilter(key, tenant, since, until), after=after, limit=limit)
        return UsagePage(items=[UsageView.model_validate(row) for row in rows], next=following)

    return routes


def _own(reports: UsageReports, keyring: KeyRing) -> APIRouter:
    routes = APIRouter(tags=["answers"])

    @routes.get("/v1/usage", responses=errors())
    async def own_usage(credentials: HTTPAuthorizationCredentials | None = Depends(_bearer)) -> OwnUsage:
        """The limits of this key and of its tenant, what is left of them, and what the key used today (UTC)."""
        caller = keyring.authenticate(credentials.credentials if credentials else None)
        return OwnUsage(
            key=await reports.standing_of("key", caller.key_id, caller.tenant),
            tenant=await reports.standing_of("tenant", caller.tenant, caller.tenant),
            today=[UsageView.model_validate(row) for row in await reports.today(caller.key_id)],
        )

    return routes
