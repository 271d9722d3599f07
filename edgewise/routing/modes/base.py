"""What every mode shares: the shape of an opening, and how tries are started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgewise.generation.state import GenerationState
from edgewise.routing.attempt import Attempt
from edgewise.routing.plan import Plan
from edgewise.routing.tier import Chunk, Tier
from edgewise.wire.errors import EdgewiseError, NoTierError, TierError, TierRejectedError

StartAttempt = Callable[[Tier], Attempt]


@dataclass
class Opening:
    """The try that speaks first, its first chunk, and what the others cost before they were stopped."""

    attempt: Attempt
    first: Chunk
    waste_tokens: int = 0
    failures: list[EdgewiseError] = field(default_factory=list)


class OpenMode(Protocol):
    """Gets the first chunk from some tier. Raises NoTierError (with the reasons) when none gives one."""

    def __call__(self, plan: Plan, state: GenerationState, start: StartAttempt) -> Awaitable[Opening]: ...


def nobody_left(plan: Plan, failures: list[EdgewiseError]) -> TierError:
    """The error for an answer that no tier could begin or continue: it names what each one said.

    When every tier says that the request itself is at fault, that is the answer, with its own number and status.
    """
    if failures and not any(failure.info().retryable for failure in failures):
        return TierRejectedError(failures[0].info())
    if not failures:
        kinds = " or ".join(plan.kinds)
        return NoTierError(
            f"No {kinds} tier that can take this request is connected",
            where=f"mode {plan.mode}",
            expected="a connected node with the same tokenizer and room in its context",
            remedy="look at `edgewise status`, start a node, or let the policy use another tier",
            retry_after_s=1.0,
        )
    said = "; ".join(str(failure.message) for failure in failures)
    return NoTierError(f"Every tier failed: {said}", where=f"mode {plan.mode}", retry_after_s=1.0)
