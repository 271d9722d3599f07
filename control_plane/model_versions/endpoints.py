"""/admin/v1/models: list and register model versions, and say which one is wanted on which tier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import admin_router, audited, bounded_body, errors, operator_only
from control_plane.model_versions.active import ActiveModels, Place, TierKind
from control_plane.model_versions.errors import ManifestRefusedError
from control_plane.model_versions.gates import FINDINGS_MAX_CHARS
from control_plane.model_versions.schemas import (
    ActivationList,
    ActivationView,
    ActivationWanted,
    ModelVersionList,
    ModelVersionView,
    ModelVersionWhole,
    PlaceWanted,
    Registration,
)
from control_plane.model_versions.service import CARD_MAX_CHARS, ModelCatalog
from edgewise.wire.limits import BODY_MAX_BYTES

VersionId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="The sha256 of the canonical manifest")]
Name = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")]
_MANIFEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The manifest.json of a model directory as it stands, or that in an envelope with its card",
        "content": {"application/json": {"schema": {"anyOf": [{"type": "object"}, Registration.model_json_schema()]}}},
    }
}


def router(catalog: ModelCatalog, keyring: KeyRing, active: ActiveModels) -> APIRouter:
    """Routes over the services; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("models")
    _add_activations(routes, catalog, active, operator)
    _add_versions(routes, catalog, operator)
    return routes


def _add_versions(routes: APIRouter, catalog: ModelCatalog, operator: Callable[..., Any]) -> None:
    @routes.get("", responses=errors())
    async def list_models(name: Name = None, by: Principal = Depends(operator)) -> ModelVersionList:
        """Registered versions, of one name or all."""
        return ModelVersionList(items=[ModelVersionView.model_validate(row) for row in catalog.versions(name)])

    @routes.post("", status_code=201, responses=errors(413), openapi_extra=_MANIFEST_BODY | audited("model.register"))
    async def register_model(request: Request, by: Principal = Depends(operator)) -> ModelVersionView:
        """Register a manifest, so that nodes may offer that version; again, it changes nothing. A version whose
        findings fail the gates is refused with the reasons, unless `override` says why it may be used all the same."""
        raw = await bounded_body(request, BODY_MAX_BYTES)
        wanted = _envelope(raw)
        if wanted is None:
            return ModelVersionView.model_validate(await catalog.register_json(raw, actor=by.key_id))
        row = await catalog.register_json(
            bytes(wanted.manifest),
            actor=by.key_id,
            card=wanted.card,
            expected_id=wanted.expected_id,
            findings=wanted.findings,
            override=wanted.override,
        )
        return ModelVersionView.model_validate(row)

    @routes.get("/{version_id}", responses=errors(404))
    async def get_model(
        version_id: VersionId, name: Name = None, by: Principal = Depends(operator)
    ) -> ModelVersionWhole:
        """One version with its manifest and card; `name` chooses where it is registered under several."""
        return ModelVersionWhole.of(catalog.find(version_id, name))


def _add_activations(
    routes: APIRouter, catalog: ModelCatalog, active: ActiveModels, operator: Callable[..., Any]
) -> None:
    @routes.get("/active", responses=errors())
    async def list_active_models(by: Principal = Depends(operator)) -> ActivationList:
        """Which version is wanted on which tier."""
        return ActivationList(items=[ActivationView.model_validate(row) for row in active.present()])

    @routes.post("/deactivate", responses=errors(409), openapi_extra=audited("model.deactivate"))
    async def deactivate_model(wanted: PlaceWanted, by: Principal = Depends(operator)) -> ActivationView:
        """Want nothing in particular there any more."""
        return ActivationView.model_validate(await active.deactivate(wanted.place(), actor=by.key_id))

    @routes.post("/rollback", responses=errors(409), openapi_extra=audited("model.rollback"))
    async def roll_back_model(wanted: PlaceWanted, by: Principal = Depends(operator)) -> ActivationView:
        """Want what was wanted there before."""
        return ActivationView.model_validate(await active.roll_back(wanted.place(), actor=by.key_id))

    @routes.post("/{version_id}/activate", responses=errors(404, 409), openapi_extra=audited("model.activate"))
    async def activate_model(
        version_id: VersionId, wanted: ActivationWanted = _ANYWHERE, by: Principal = Depends(operator)
    ) -> ActivationView:
        """Want this version: tiers that have it come first; with `required` no others are used."""
        row = catalog.find(version_id, wanted.name)
        kind: TierKind = wanted.tier or ("edge" if row.tier == "edge" else "cloud")
        place = Place(row.name, kind, wanted.tenant)
        return ActivationView.model_validate(
            await active.activate(place, version_id, required=wanted.required, actor=by.key_id)
        )


_ANYWHERE = ActivationWanted()


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """A Registration whose manifest stays as it was sent."""

    manifest: msgspec.Raw
    card: Annotated[str, msgspec.Meta(max_length=CARD_MAX_CHARS)] | None = None
    expected_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")] | None = None
    findings: Annotated[str, msgspec.Meta(max_length=FINDINGS_MAX_CHARS)] | None = None
    override: Annotated[str, msgspec.Meta(min_length=3, max_length=160)] | None = None


def _envelope(raw: bytes) -> _Envelope | None:
    """The body as an envelope; None when it is a manifest as it stands. Raises ManifestRefusedError."""
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if "manifest" not in fields:
        return None
    try:
        return msgspec.json.decode(raw, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestRefusedError(f"The registration cannot be read: {error}", where="request body") from error
