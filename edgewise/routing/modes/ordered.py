"""Modes edge, cloud, prefer-edge and prefer-cloud: one tier after another until one gives a first token."""

from __future__ import annotations

from edgewise.generation.state import GenerationState
from edgewise.routing.modes.base import Opening, StartAttempt, first_in_turn, opened
from edgewise.routing.modes.head_start import first_overlapping
from edgewise.routing.plan import Plan
from edgewise.wire.errors import EdgewiseError


async def open_ordered(plan: Plan, state: GenerationState, start: StartAttempt) -> Opening:
    """Fall back before the first token on an error, a refusal or a time-out; no tier is asked twice. Where a kind of
    tier has but a head start, the next one does not wait for it to fail."""
    failures: list[EdgewiseError] = []
    overlapping = plan.limits.head_start_s is not None and len(plan.kinds) > 1
    first = first_overlapping if overlapping else first_in_turn
    return opened(plan, await first(plan, state, start, failures), failures)
