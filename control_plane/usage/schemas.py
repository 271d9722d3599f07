"""HTTP shapes of /admin/v1/limits, /admin/v1/usage and /v1/usage."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from control_plane.usage.counters import Scope, Standing
from control_plane.usage.limits import BUDGETS, FIELDS, NUMBER_MAX, WINDOWS, Limits

Number = Annotated[int | None, Field(ge=0, le=NUMBER_MAX, strict=True)]


class LimitsBody(BaseModel):
    """All limits of a key or a tenant; what is left out or null is not limited. UTC days and months; micro-units."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    requests_per_minute: Number = None
    tokens_per_minute: Number = None
    concurrent: Number = None
    tokens_per_day: Number = None
    tokens_per_month: Number = None
    tokens_total: Number = None
    cost_per_day: Number = None
    cost_per_month: Number = None
    cost_total: Number = None

    def limits(self) -> Limits:
        """The same for the meter."""
        return Limits(**{field: getattr(self, field) for field in FIELDS})


class BudgetView(BaseModel):
    """One budget now: `remaining` is what a new request may still reserve."""

    limit: int
    spent: int
    reserved: int
    remaining: int


class LimitsView(BaseModel):
    """A key's or a tenant's limits, and how they stand. A budget is null before its first request."""

    scope: str
    limits: LimitsBody
    requests_in_minute: int
    tokens_in_minute: int
    minute_reset_s: float
    running: int
    budgets: dict[str, BudgetView | None]

    @classmethod
    def of(cls, scope: Scope, standing: Standing) -> LimitsView:
        """The view of one scope."""
        windows = dict(zip(BUDGETS, WINDOWS, strict=True))
        limited = {name: getattr(scope.limits, name) for name in BUDGETS}
        return cls(
            scope=scope.name,
            limits=LimitsBody.model_validate(scope.limits),
            requests_in_minute=standing.requests,
            tokens_in_minute=standing.tokens,
            minute_reset_s=standing.reset_ms / 1000,
            running=standing.open,
            budgets={
                name: _budget(limit, standing, windows[name]) for name, limit in limited.items() if limit is not None
            },
        )


def _budget(limit: int, standing: Standing, window: str) -> BudgetView | None:
    if window not in standing.spent:
        return None
    spent, reserved = standing.spent[window], standing.reserved[window]
    return BudgetView(limit=limit, spent=spent, reserved=reserved, remaining=max(0, limit - spent - reserved))


class UsageView(BaseModel):
    """What one key used on one UTC day, of one kind of tier and one model. Costs are micro-units."""

    model_config = ConfigDict(from_attributes=True)

    day: date
    key_id: str
    tenant: str
    tier_kind: str
    model: str
    requests: int
    refused: int
    prompt_tokens: int
    completion_tokens: int
    waste_tokens: int
    cost_micros: int


class UsagePage(BaseModel):
    """Rows of the ledger, the newest day first."""

    items: list[UsageView]
    next: str | None


class OwnUsage(BaseModel):
    """What a caller may know of its own key: its limits, those of its tenant, and what it used today."""

    key: LimitsView
    tenant: LimitsView
    today: list[UsageView]
