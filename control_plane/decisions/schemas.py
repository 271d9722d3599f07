"""HTTP shapes of /admin/v1/decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from control_plane.decisions.records import DecisionStatus
from control_plane.decisions.service import Summary
from policies import FactValue


class DecisionView(BaseModel):
    """One answer's decision. `tier` was chosen first, `last_tier` spoke last; seconds since the request came. `terms`:
    what it asked beside its mode (models, time limits, pace, budget, …); null where that was not recorded."""

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
    terms: dict[str, Any] | None
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


class QuantilesView(BaseModel):
    """Of how many answers, and nearest-rank quantiles in seconds; null where there are none."""

    model_config = ConfigDict(from_attributes=True)

    count: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class DecisionSummary(BaseModel):
    """Decisions of a time range, counted; `tier` is the one that spoke last, or was chosen where none has spoken."""

    decisions: int
    mode: dict[str, int]
    rule: dict[str, int]
    tier: dict[str, int]
    status: dict[str, int]
    model: dict[str, int]
    origin: dict[str, int]
    first_token: QuantilesView
    total: QuantilesView

    @classmethod
    def of(cls, found: Summary) -> DecisionSummary:
        """The shape of a summary."""
        first, total = QuantilesView.model_validate(found.first_token), QuantilesView.model_validate(found.total)
        counts: dict[str, Any] = {str(column): values for column, values in found.counts.items()}
        return cls(decisions=sum(counts["status"].values()), first_token=first, total=total, **counts)
