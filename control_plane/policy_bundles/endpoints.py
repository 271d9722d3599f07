"""/admin/v1/policy-key: the public key that devices verify bundles with, and the bundles that they are offered."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import admin_router, errors, operator_only
from control_plane.policy_bundles.service import PolicyBundles


class BundleView(BaseModel):
    """The newest bundle of a policy version in use; devices take it up to and including `not_after`."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    policy_version: int
    digest: str
    issued_at: datetime
    not_after: datetime


class PolicyKeyView(BaseModel):
    """The key that signs bundles at present. `public_key` is what `EDGEWISE_AGENT_POLICY_KEYS` takes."""

    key_id: str
    public_key: str
    bundles: list[BundleView]


def router(bundles: PolicyBundles, keyring: KeyRing) -> APIRouter:
    """The one route; it needs the role operator."""
    routes = admin_router("policy-key")
    operator = operator_only(keyring)

    @routes.get("", responses=errors())
    async def policy_key(by: Principal = Depends(operator)) -> PolicyKeyView:
        """The public key of policy bundles, and what is offered to devices now."""
        offered = [BundleView.model_validate(row) for row in await bundles.newest()]
        return PolicyKeyView(key_id=bundles.key_id, public_key=bundles.public_key, bundles=offered)

    return routes
