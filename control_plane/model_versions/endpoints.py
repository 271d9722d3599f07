"""/admin/v1/models: list and register model versions."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import admin_router, bounded_body, errors, operator_only
from control_plane.model_versions.schemas import ModelVersionList, ModelVersionView
from control_plane.model_versions.service import ModelCatalog
from edgewise.wire.limits import BODY_MAX_BYTES

_MANIFEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The manifest.json of a model directory",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def router(catalog: ModelCatalog, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("models")

    @routes.get("", responses=errors())
    async def list_models(
        name: str | None = Query(None, max_length=64), by: Principal = Depends(operator)
    ) -> ModelVersionList:
        """Registered versions, of one name or all."""
        return ModelVersionList(items=[ModelVersionView.model_validate(row) for row in catalog.versions(name)])

    @routes.post("", status_code=201, responses=errors(413), openapi_extra=_MANIFEST_BODY)
    async def register_model(request: Request, by: Principal = Depends(operator)) -> ModelVersionView:
        """Register a manifest, so that nodes may offer that version; again, it changes nothing."""
        raw = await bounded_body(request, BODY_MAX_BYTES)
        return ModelVersionView.model_validate(await catalog.register_json(raw, actor=by.key_id))

    return routes
