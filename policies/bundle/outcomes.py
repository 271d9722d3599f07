"""Outcomes as plain data and back, in the words of `Decision.to_dict`; what they say is judged, not believed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any, Final

from policies.bundle.canonical import canonical_bytes
from policies.bundle.errors import BundleError, Refusal
from policies.decision import Decision
from policies.document import Outcome
from policies.modes import Mode
from policies.read_outcome import MAX_COST, MAX_PRIORITY, MAX_TOKENS, MAX_TOKENS_PER_S
from policies.shape import MAX_DURATION_S

MAX_TEXT: Final = 500
_OF_ONE_REQUEST: Final = {
    "rule_id": "",
    "errors": [],
    "clamped_by": [],
    "policy_name": "",
    "policy_digest": "",
    "flips": [],
}
"""What a decision has beside its outcome."""
_SHARED: Final = tuple(field.name for field in fields(Outcome))


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """JSON-ready."""
    shared: dict[str, Any] = {name: getattr(outcome, name) for name in _SHARED}
    told = Decision(rule_id="", **shared).to_dict()
    return {key: value for key, value in told.items() if key not in _OF_ONE_REQUEST}


def read_outcome(data: Any, supported_modes: Collection[Mode]) -> Outcome:
    """The outcome that `outcome_data` wrote. Raises BundleError for anything else."""
    try:
        decision = Decision.from_dict({**data, **_OF_ONE_REQUEST})
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BundleError(Refusal.OUTCOME, "an outcome is not made as outcomes are") from None
    outcome = Outcome(**{name: getattr(decision, name) for name in _SHARED})
    if canonical_bytes(outcome_data(outcome)) != canonical_bytes(data):
        raise BundleError(Refusal.OUTCOME, "an outcome holds what means nothing here")
    _judge_steps(outcome, supported_modes)
    _judge_timeouts(data["timeouts"])
    _judge_terms(outcome)
    _judge_texts(data)
    return outcome


def _judge_steps(outcome: Outcome, supported_modes: Collection[Mode]) -> None:
    for step in outcome.steps:
        if step not in supported_modes:
            raise BundleError(Refusal.OUTCOME, f"the mode {step} does not work here")
    if len(set(outcome.steps)) < len(outcome.steps):
        raise BundleError(Refusal.OUTCOME, "an outcome tries a mode twice")


def _judge_timeouts(timeouts: dict[str, Any]) -> None:
    for name, seconds in timeouts.items():
        if seconds is not None and not (type(seconds) is float and 0.0 < seconds <= MAX_DURATION_S):
            raise BundleError(Refusal.OUTCOME, f"{name} is no time limit up to {MAX_DURATION_S:.0f} seconds")


def _judge_terms(outcome: Outcome) -> None:
    terms = outcome.terms
    fine = (
        _is_model(terms.edge_model)
        and _is_model(terms.cloud_model)
        and _within(terms.escalate_below, float, 0.0, 1.0)
        and _within(terms.tokens_per_s, float, 0.0, MAX_TOKENS_PER_S)
        and _within(terms.priority, int, -MAX_PRIORITY, MAX_PRIORITY)
        and _within(terms.max_tokens, int, 1, MAX_TOKENS)
        and _within(terms.max_cost, int, 0, MAX_COST)
        and all(_within(step.max_tokens, int, 1, MAX_TOKENS) for step in terms.fallback)
        and {step.mode for step in terms.fallback} <= set(outcome.fallback)
    )
    if not fine:
        raise BundleError(Refusal.OUTCOME, "a term is not within its bounds, or belongs to no fallback")


def _is_model(model: Any) -> bool:
    return type(model) is str and len(model) <= MAX_TEXT


def _within(number: Any, kind: type[int] | type[float], least: float, most: float) -> bool:
    """Whether a term is absent, or a number of this very type within these bounds."""
    return number is None or (type(number) is kind and bool(least <= number <= most))


def _judge_texts(data: dict[str, Any]) -> None:
    reasons = [data["reason"], *(step["reason"] for step in data["terms"].get("fallback", ()))]
    if any(len(reason) > MAX_TEXT for reason in reasons):
        raise BundleError(Refusal.OUTCOME, f"a reason has more than {MAX_TEXT} characters")
