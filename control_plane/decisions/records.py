"""What the recorder is told: Decided at admission, Finished at the end. Plain data, no SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from control_plane.text import clip, clip_name
from policies.facts import NAME_MAX_CHARS, FactValue, without_text

DecisionStatus = Literal["running", "done", "failed", "cancelled"]


class Decided(msgspec.Struct, frozen=True, kw_only=True, tag="decided"):
    """A decision and its inputs. `facts` are what the policy saw: values of the table of facts, never text.

    `tier` is the first tier that was chosen (such as `edge:phone-7`), `fallbacks` the modes or tiers after it. `terms`
    are what `Decision.asked` gives; None where nobody told them.
    """

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
    model: str = ""
    tier: str = ""
    fallbacks: tuple[str, ...] = ()
    terms: dict[str, Any] | None = None


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """How an answer ended. Seconds count from the arrival of the request; `tier` is the one that spoke last.

    `waste_tokens` counts what losers of a race produced; `timings_s` holds the latency points by name.
    """

    stream_id: str
    at: datetime
    status: DecisionStatus
    finish: str = ""
    error_code: str = ""
    tier: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    waste_tokens: int = 0
    first_token_s: float | None = None
    total_s: float | None = None
    timings_s: dict[str, float] = {}


Event = Decided | Finished

_SCALARS = (bool, int, float, str)
_STATUS: dict[str, DecisionStatus] = {"cancelled": "cancelled", "fenced": "cancelled", "error": "failed"}


def status_of(finish: str) -> DecisionStatus:
    """The state of an answer that ended in this way."""
    return _STATUS.get(finish, "done")


def decided_values(event: Decided) -> dict[str, Any]:
    """Column values of a decision at admission."""
    return {
        "stream_id": event.stream_id,
        "at": event.at,
        "tenant": clip_name(event.tenant, 64),
        "key_id": clip_name(event.key_id, 64),
        "origin": clip_name(event.origin, 64),
        "facts": _recorded_facts(event.facts),
        "mode": clip_name(event.mode, 32),
        "rule": clip_name(event.rule, 160),
        "reason": clip_name(event.reason, 500),
        "policy_digest": clip_name(event.policy_digest, 80),
        "model": clip_name(event.model, 64),
        "tier": clip_name(event.tier, 80),
        "fallbacks": [clip_name(tier, 80) for tier in event.fallbacks],
        "terms": event.terms,
        "status": "running",
    }


def finished_values(event: Finished) -> dict[str, Any]:
    """Column values that the end adds."""
    values: dict[str, Any] = {
        "ended_at": event.at,
        "status": event.status,
        "finish": clip_name(event.finish, 32),
        "error_code": clip_name(event.error_code, 64),
        "prompt_tokens": event.prompt_tokens,
        "completion_tokens": event.completion_tokens,
        "waste_tokens": event.waste_tokens,
        "first_token_s": event.first_token_s,
        "total_s": event.total_s,
    }
    if event.timings_s:  # who stopped another gateway's answer knows neither these nor the tier
        values["timings_s"] = dict(event.timings_s)
    if event.tier:
        values["last_tier"] = clip_name(event.tier, 80)
    return values


def _recorded_facts(facts: Mapping[str, object]) -> dict[str, FactValue]:
    kept: dict[str, FactValue] = {}
    for name, value in facts.items():
        if isinstance(value, _SCALARS) and (recorded := _recorded(name, value)) is not None:
            kept[name] = recorded
    return kept


@lru_cache(maxsize=4096, typed=True)
def _recorded(name: str, value: FactValue) -> FactValue | None:
    """What is stored of one fact; None for nothing. Most facts of most requests were seen before."""
    kept = without_text({name: value}).get(name)
    return clip(kept, NAME_MAX_CHARS) if isinstance(kept, str) else kept
