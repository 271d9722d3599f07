"""Hand-off in mid-answer: another tier goes on where the last one stopped, by token ids, or by text if it must."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from edgewise.generation.state import GenerationState
from edgewise.routing.modes.base import Opening, StartAttempt
from edgewise.routing.modes.ordered import open_ordered
from edgewise.routing.plan import Plan
from edgewise.wire.errors import NoTierError

PATIENCE_S = 35.0
"""Longer than a node that lost its gateway may wait before it dials again (30 s, edgewise/node/backoff.py)."""
POLL_S = 0.05
POLL_MAX_S = 1.0

Encode = Callable[[str], tuple[int, ...]]
Sleep = Callable[[float], Awaitable[None]]


def with_ids(state: GenerationState, encode: Encode | None) -> GenerationState:
    """Give an answer that began on a text-only tier the token ids of its text, so that id tiers can go on."""
    if state.output_ids or not state.output_text or encode is None:
        return state
    return msgspec.structs.replace(state, output_ids=encode(state.output_text))


async def open_continuation(
    plan: Plan,
    state: GenerationState,
    start: StartAttempt,
    *,
    lost: frozenset[str],
    clock: Callable[[], float],
    sleep: Sleep,
) -> Opening:
    """Find a tier to continue `state`; first any but the `lost` ones, then whichever (re)appears within PATIENCE_S.

    An answer that has begun is worth waiting for: a crashed worker is back in seconds. Raises NoTierError.
    """
    deadline, pause_s, excluded = clock() + PATIENCE_S, POLL_S, lost
    while True:
        try:
            return await open_ordered(plan.without(excluded), state, start)
        except NoTierError:
            if clock() >= deadline:
                raise
        await sleep(pause_s)
        excluded, pause_s = frozenset(), min(2 * pause_s, POLL_MAX_S)
