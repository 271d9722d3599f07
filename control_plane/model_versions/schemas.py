"""HTTP shapes of /admin/v1/models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class ModelVersionView(BaseModel):
    """A registered model version; `id` is the sha256 of its canonical manifest."""

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
    registered_at: datetime
    registered_by: str


class ModelVersionList(BaseModel):
    """All of them: a catalogue is small."""

    items: list[ModelVersionView]
