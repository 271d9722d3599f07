"""What every mode shares: the shape of an opening, and how tries are started."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgewise.generation.grammar import InvalidGrammarError
from edgewise.generation.state import GenerationState
from edgewise.routing.attempt import Attempt
from edgewise.routing.plan import Plan
from edgewise.routing.tier import Chunk, Tier
from edgewise.wire.errors import EdgewiseError, NoTierError, TierError, TierRefusedError, TierRejectedError

StartAttempt = Callable[[Tier], Attempt]
RETRY_AFTER_S = 1.0
REMEDY = "try again soon; the nodes' logs tell more"


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


async def first_in_turn(
    plan: Plan, state: GenerationState, start: StartAttempt, failures: list[EdgewiseError]
) -> Opening | None:
    """The first token of the best tier that gives one, the next being asked only when one has failed; no tier is asked
    twice, and none after one that could not follow the answer's grammar: it costs each the same. None when none does;
    `failures` then says why."""
    tried: set[str] = set()
    while (candidates := plan.candidates(state, frozenset(tried))) and not _unfollowable(failures):
        tier = candidates[0]
        tried.add(tier.name)
        attempt = start(tier)
        try:
            first = await attempt.next(plan.limits.first_s(state.budget if attempt.whole else 0))
        except TierError as error:
            await attempt.abandon()
            failures.append(error)
        except BaseException:
            await attempt.abandon()
            raise
        else:
            return Opening(attempt, first)
    return None


def opened(plan: Plan, opening: Opening | None, failures: list[EdgewiseError]) -> Opening:
    """The opening, with the kinds that were passed over before it among its failures. Raises what `nobody_left` gives
    when there is none."""
    if opening is None:
        raise nobody_left(plan, failures)
    speaks = plan.kinds.index(opening.attempt.tier.kind)
    opening.failures = [*plan.passed_over(plan.kinds[:speaks]), *failures]
    return opening


def nobody_left(plan: Plan, failures: list[EdgewiseError]) -> TierError:
    """The error for an answer that no tier could begin or continue: it names what each one said, the remedy that helps
    most, and when the first of them may be free.

    When every tier says that the request itself is at fault, or one that its grammar is, that is the answer, with its
    own number and status.
    """
    if unfollowable := _unfollowable(failures):
        return TierRejectedError(unfollowable[0].info())
    if failures and not any(failure.info().retryable for failure in failures):
        return TierRejectedError(failures[0].info())
    failures = [*plan.passed_over(plan.kinds), *failures]
    told = f"{giving_up.reason}: " if (giving_up := plan.fallback("refuse")) else ""
    if not failures:
        kinds = " or ".join(plan.kinds)
        return NoTierError(
            f"{told}No {kinds} tier that can take this request is connected",
            where=f"mode {plan.mode}",
            expected="a connected node with the same tokenizer and room in its context",
            remedy="look at `edgewise status`, start a node, or let the policy use another tier",
            retry_after_s=RETRY_AFTER_S,
        )
    said = "; ".join(str(failure.message) for failure in failures)
    waits = [failure.retry_after_s for failure in failures if failure.retry_after_s is not None]
    return NoTierError(
        f"{told}Every tier failed: {said}",
        where=f"mode {plan.mode}",
        remedy=_best_remedy(failures),
        retry_after_s=min(waits, default=RETRY_AFTER_S),
    )


def _unfollowable(failures: list[EdgewiseError]) -> list[EdgewiseError]:
    """Those that find fault with the grammar."""
    return [failure for failure in failures if failure.info().number == InvalidGrammarError.number]


def _best_remedy(failures: list[EdgewiseError]) -> str:
    """What helps most: who refused knows what it has no room for, and the one to be free soonest helps first; then what
    the others say, in order."""

    def rank(failure: EdgewiseError) -> tuple[bool, float]:
        refused = failure.info().number == TierRefusedError.number
        wait_s = failure.retry_after_s
        return not refused, wait_s if refused and wait_s is not None else math.inf

    ranked = sorted(failures, key=rank)
    return next((failure.remedy for failure in ranked if failure.remedy), REMEDY)
