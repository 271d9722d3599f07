"""Modes edge, cloud, prefer-edge and prefer-cloud: one tier after another until one gives a first token."""

from __future__ import annotations

from edgewise.generation.state import GenerationState
from edgewise.routing.modes.base import Opening, StartAttempt, nobody_left
from edgewise.routing.plan import Plan
from edgewise.wire.errors import EdgewiseError, TierError


async def open_ordered(plan: Plan, state: GenerationState, start: StartAttempt) -> Opening:
    """Fall back before the first token on an error, a refusal or a time-out; no tier is asked twice."""
    failures: list[EdgewiseError] = []
    tried: set[str] = set()
    while candidates := plan.candidates(state, frozenset(tried)):
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
            return Opening(attempt, first, failures=failures)
    raise nobody_left(plan, failures)
