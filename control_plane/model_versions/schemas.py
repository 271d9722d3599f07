"""HTTP shapes of /admin/v1/models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from control_plane.model_versions.active import Place, TierKind
from control_plane.model_versions.gates import FINDINGS_MAX_CHARS
from control_plane.model_versions.tables import ModelVersionRow

Tenant = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9._-]*$", description="Empty: all tenants")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]


class ModelVersionView(BaseModel):
    """A registered model version; `id` is the sha256 of its canonical manifest.

    `gates`: passed; overridden by an operator; configured (failed, but named at the control plane's start); unjudged
    (it carries no findings and claims no parent).
    """

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    id: str
    name: str
    tier: str
    format: str
    context_tokens: int
    weights_digest: str
    tokenizer_digest: str
    template_digest: str
    directory: str | None
    gates: Literal["passed", "overridden", "configured", "unjudged"]
    registered_at: datetime
    registered_by: str


class ModelVersionList(BaseModel):
    """All of them: a catalogue is small."""

    items: list[ModelVersionView]


class ModelVersionWhole(ModelVersionView):
    """A version with its manifest, card and findings; null where nobody sent them."""

    manifest: dict[str, Any]
    card: str | None
    findings: dict[str, Any] | None

    @classmethod
    def of(cls, row: ModelVersionRow) -> ModelVersionWhole:
        """The shape of a registered version."""
        base = ModelVersionView.model_validate(row).model_dump()
        findings = msgspec.json.decode(row.findings) if row.findings else None
        return cls(**base, manifest=msgspec.json.decode(row.manifest), card=row.card, findings=findings)


class Registration(BaseModel):
    """A manifest with its card and the text of its findings.json.

    `expected_id`: refuse the manifest unless its canonical JSON has this sha256. `override`: register it although its
    gates fail, for this reason; both go into the audit log.
    """

    model_config = ConfigDict(extra="forbid")

    manifest: dict[str, Any]
    card: Annotated[str, Field(max_length=200_000)] | None = None
    expected_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    findings: Annotated[str, Field(max_length=FINDINGS_MAX_CHARS)] | None = None
    override: Annotated[str, Field(min_length=3, max_length=160)] | None = None


class PlaceWanted(BaseModel):
    """A public model name on a tier, of one tenant or of all."""

    model_config = ConfigDict(extra="forbid")

    name: ModelName
    tier: TierKind
    tenant: Tenant = ""

    def place(self) -> Place:
        """The service's form."""
        return Place(self.name, self.tier, self.tenant)


class ActivationWanted(BaseModel):
    """Where the version is wanted; the name and the tier of its manifest when they are left out. `required`: tiers with
    another version are not used at all."""

    model_config = ConfigDict(extra="forbid")

    name: ModelName | None = None
    tier: TierKind | None = None
    tenant: Tenant = ""
    required: bool = False


class ActivationView(BaseModel):
    """What is wanted in a place; `version_id` is null where nothing is any more."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    tier: TierKind
    tenant: str
    version_id: str | None
    required: bool
    action: Literal["activate", "deactivate", "rollback"]
    actor: str
    at: datetime


class ActivationList(BaseModel):
    """Everything that is wanted now."""

    items: list[ActivationView]
