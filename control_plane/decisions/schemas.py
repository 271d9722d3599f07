"""HTTP shapes of /admin/v1/decisions."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from control_plane.decisions.records import DecisionStatus
from policies import FactValue


class DecisionView(BaseModel):
    """One answer's decision. `tier` was chosen first, `last_tier` spoke last; seconds since the request came."""

    model_config = ConfigDict(from_attributes=True)

    stream_id: str
    at: datetime
    tenant: str
    key_id: str
    origin: str
    facts: dict[str, FactValue]
    mode: str
    rule: str
    reason: str
    policy_digest: str
    model: str
    tier: str
    fallbacks: list[str]
    status: DecisionStatus
    last_tier: str | None
    ended_at: datetime | None
    finish: str | None
    error_code: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    waste_tokens: int | None
    first_token_s: float | None
    total_s: float | None
    timings_s: dict[str, float] | None


class DecisionPage(BaseModel):
    """Decisions, newest first."""

    items: list[DecisionView]
    next: str | None
