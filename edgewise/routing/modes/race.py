"""Mode race: one tier of each kind at once; the first token wins, the loser is stopped at once and its waste kept."""

from __future__ import annotations

import asyncio

from edgewise.generation.state import GenerationState
from edgewise.routing.attempt import Attempt
from edgewise.routing.modes.base import Opening, StartAttempt, first_in_turn, opened
from edgewise.routing.plan import Plan
from edgewise.routing.tier import Chunk, Tier
from edgewise.routing.uninterrupted import uninterrupted
from edgewise.wire.errors import EdgewiseError, TierError


async def open_race(plan: Plan, state: GenerationState, start: StartAttempt) -> Opening:
    """The best candidate of each kind runs; when all of them fail, the rest are tried in order."""
    attempts = [start(tier) for tier in _best_of_each_kind(plan.candidates(state))]
    tasks = {asyncio.create_task(_first(attempt, plan)): attempt for attempt in attempts}
    failures: list[EdgewiseError] = []
    try:
        winner = await _first_success(tasks, failures)
        waste = await uninterrupted(_stop(tasks, winner))
    except BaseException:
        await uninterrupted(_stop(tasks, None))  # the winner, too
        raise
    if winner is not None:
        return opened(plan, Opening(tasks[winner], winner.result(), waste_tokens=waste), failures)
    tried = frozenset(attempt.tier.name for attempt in attempts)
    return opened(plan, await first_in_turn(plan.without(tried), state, start, failures), failures)


def _best_of_each_kind(candidates: list[Tier]) -> list[Tier]:
    best: dict[str, Tier] = {}
    for tier in candidates:
        best.setdefault(tier.kind, tier)
    return list(best.values())


async def _first(attempt: Attempt, plan: Plan) -> Chunk:
    return await attempt.next(plan.limits.first_s())


async def _first_success(
    tasks: dict[asyncio.Task[Chunk], Attempt], failures: list[EdgewiseError]
) -> asyncio.Task[Chunk] | None:
    waiting = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in (task for task in tasks if task in done):  # in order of preference when both are ready
            error = task.exception()
            if error is None:
                return task
            if not isinstance(error, TierError):
                raise error
            failures.append(error)
    return None


async def _stop(tasks: dict[asyncio.Task[Chunk], Attempt], winner: asyncio.Task[Chunk] | None) -> int:
    """Cancel every try but the winner's; returns the tokens that they had made."""
    losers = [task for task in tasks if task is not winner]
    for task in losers:
        task.cancel()
    await asyncio.gather(*losers, return_exceptions=True)
    await asyncio.gather(*(tasks[task].abandon() for task in losers))
    return sum(tasks[task].tokens for task in losers)
