"""/admin/v1/keys: make, list, rotate, revoke."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query, Response

from control_plane.accounts.keyring import Principal
from control_plane.accounts.schemas import CreatedKey, KeyPage, KeyView, NewKey, Rotation
from control_plane.accounts.service import Accounts
from control_plane.admin_api import (
    IdCursor,
    Limit,
    admin_router,
    audited,
    errors,
    id_cursor,
    next_cursor,
    operator_only,
)

_ROTATION = Rotation()


def router(accounts: Accounts) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(accounts.keyring)
    routes = admin_router("keys")

    @routes.post("", status_code=201, responses=errors(413), openapi_extra=audited("key.create"))
    async def create_key(wanted: NewKey, response: Response, by: Principal = Depends(operator)) -> CreatedKey:
        """Make a key. This answer is the only one that ever holds it."""
        response.headers["cache-control"] = "no-store"
        return CreatedKey.of(await accounts.create(wanted.request(), by))

    @routes.get("", responses=errors())
    async def list_keys(
        tenant: str | None = Query(None, max_length=64, pattern=r"^[^\x00]*$"),
        after: IdCursor = None,
        limit: Limit = 50,
        by: Principal = Depends(operator),
    ) -> KeyPage:
        """Keys, newest first, revoked ones too."""
        rows = await accounts.page(tenant=tenant, before_id=id_cursor(after), limit=limit)
        items = [KeyView.model_validate(row) for row in rows]
        return KeyPage(items=items, next=next_cursor(rows, limit, lambda row: row.id))

    @routes.post("/{key_id}/rotate", responses=errors(404, 409), openapi_extra=audited("key.rotate"))
    async def rotate_key(
        key_id: str, response: Response, how: Rotation = _ROTATION, by: Principal = Depends(operator)
    ) -> CreatedKey:
        """Give a key a new secret, shown this once; the one before works on for the overlap. Id and streams stay."""
        response.headers["cache-control"] = "no-store"
        return CreatedKey.of(await accounts.rotate(key_id, how.overlap_s, by))

    @routes.delete("/{key_id}", responses=errors(404, 409), openapi_extra=audited("key.revoke"))
    async def revoke_key(key_id: str, by: Principal = Depends(operator)) -> KeyView:
        """End a key now; sockets that were opened with it fall."""
        return KeyView.model_validate(await accounts.revoke(key_id, by))

    return routes
