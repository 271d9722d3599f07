"""Where a new answer is made, and what is said when it is not made here. Pure: limits, facts and a decision in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from edge_agent.ladder.limits import Limits, Place
from edgewise.facts.sensitivity import rank
from edgewise.wire.errors import EdgewiseError, TierRefusedError
from policies import Decision
from policies.modes import Mode

CLAMP: Final = "device-ladder"
"""What `clamped_by` of a decision says where the ladder changed it."""
RETRY_AFTER_S: Final = 60.0
_HERE_FIRST: Final = frozenset({Mode.EDGE, Mode.PREFER_EDGE, Mode.RACE})


def place(limits: Limits, *, private: bool, cloud: bool, tokens: int, context_tokens: int, every_row: bool) -> Place:
    """As `Limits.place`. `context_tokens` are those of the prompt and the longest answer.

    An engine that keeps `every_row` cannot cut a context to the limits' window: longer ones go to the cloud where they
    may, and are made whole where they may not.
    """
    window = limits.window_tokens
    if every_row and window is not None and context_tokens > window:
        limits = replace(limits, cloud_from_tokens=0)
    return limits.place(private=private, cloud=cloud, tokens=tokens)


def clamped(decision: Decision, facts: Mapping[str, Any], limits: Limits, *, every_row: bool) -> Decision:
    """The decision as the ladder leaves it: the cloud comes first where the plan has it, it is in reach and the device
    would rather not. The device stays what is asked next, so no answer is lost that it could still make. What the
    policy asks of the cloud as a fallback bounds the answer: no mode that asks the cloud first has terms for it alone.

    Where the device takes nothing and nobody else may, the decision stands, and its tier says why it refuses.
    """
    here_first, cloud_too = decision.mode in _HERE_FIRST, Mode.CLOUD in (*decision.fallback, *_own(decision.mode))
    if not (here_first and cloud_too and facts.get("cloud.available")):
        return decision
    tokens = int(facts["request.max_tokens"])
    tokens = tokens if decision.terms.max_tokens is None else min(tokens, decision.terms.max_tokens)
    where = place(
        limits,
        private=rank(str(facts["request.sensitivity"])) >= rank("personal"),
        cloud=True,
        tokens=tokens,
        context_tokens=int(facts["request.prompt_tokens"]) + tokens,
        every_row=every_row,
    )
    if where is not Place.CLOUD:
        return decision
    why = f"the device's ladder puts the cloud first: {limits.reason or 'it would rather not make long answers'}"
    step = next((step for step in decision.terms.fallback if step.mode is Mode.CLOUD), None)
    terms = decision.terms
    if step is not None:
        bounds = [bound for bound in (terms.max_tokens, step.max_tokens) if bound is not None]
        left = tuple(each for each in terms.fallback if each is not step)
        terms = replace(terms, max_tokens=min(bounds, default=None), fallback=left)
        why = f"{why}; {step.reason}" if step.reason else why
    return replace(
        decision,
        mode=Mode.CLOUD,
        terms=terms,
        fallback=(Mode.EDGE, *(mode for mode in decision.fallback if mode is Mode.REFUSE)),
        errors=(*decision.errors, why),
        clamped_by=(*decision.clamped_by, CLAMP),
    )


def refused(limits: Limits, where: str, now_s: float, trouble: EdgewiseError | None = None) -> TierRefusedError:
    """What somebody reads whose answer is not made here; `now_s` is on the ladder's clock."""
    until_s = limits.cooling_until_s
    wait_s = RETRY_AFTER_S if until_s is None else max(1.0, until_s - now_s)
    if limits.reason:
        why, remedy = limits.reason, "try again later, or let the cloud answer"
    elif trouble is not None:
        why, remedy = f"its model cannot be loaded: {trouble.message}", trouble.remedy or "see the agent's log"
    else:
        why, remedy = "it would rather not make this one", "let another tier answer"
    return TierRefusedError(
        f"This device takes no such answer now: {why}", where=where, remedy=remedy, retry_after_s=round(wait_s, 1)
    )


def _own(mode: Mode) -> tuple[Mode, ...]:
    return (Mode.CLOUD,) if mode is Mode.RACE else ()
