"""A head start: one kind of tier is alone for a while, then the next one starts beside it, and the first token wins.

```
edge   |-- head start --|---------- … first token? wins, cloud is stopped
cloud                   |------ … first token? wins, edge is stopped
```
"""

from __future__ import annotations

import asyncio

from edgewise.generation.state import GenerationState
from edgewise.routing.modes.base import Opening, StartAttempt, first_in_turn
from edgewise.routing.plan import Plan
from edgewise.routing.tier import TierKind
from edgewise.routing.uninterrupted import uninterrupted
from edgewise.wire.errors import EdgewiseError, TierTimeoutError

Opened = asyncio.Task[Opening | None]


async def first_overlapping(
    plan: Plan, state: GenerationState, start: StartAttempt, failures: list[EdgewiseError]
) -> Opening | None:
    """As `first_in_turn` for each kind of tier; a kind starts when those before it have failed, or have been silent
    for the head start. None when none gives a token; `failures` then says why."""
    head_start_s = plan.limits.head_start_s
    tries: list[Opened] = []
    winner: Opened | None = None
    try:
        for kind in plan.kinds:
            tries.append(asyncio.create_task(first_in_turn(plan.only(kind), state, start, failures)))
            winner = await _winner(tries, None if kind == plan.kinds[-1] else head_start_s)
            if winner is not None:
                break
        if winner is None:
            return None
        before = zip(plan.kinds, tries[: tries.index(winner)], strict=False)
        failures += [_silent(kind, head_start_s) for kind, each in before if not each.done()]
        opening = winner.result()
        assert opening is not None
        opening.waste_tokens += await uninterrupted(_stop([each for each in tries if each is not winner]))
    except BaseException:
        await uninterrupted(_stop(tries))  # the winner, too
        raise
    return opening


def _silent(kind: TierKind, head_start_s: float | None) -> TierTimeoutError:
    return TierTimeoutError(f"No {kind} tier gave a token in its head start of {head_start_s:g} s")


async def _winner(tries: list[Opened], timeout_s: float | None) -> Opened | None:
    """The first try that has its first token, the preferred one of two; None when all have failed, or time is up."""
    deadline = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
    while waiting := [each for each in tries if not each.done()]:
        left_s = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
        done, _ = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            return None
        if winner := _opened(tries):
            return winner
    return _opened(tries)


def _opened(tries: list[Opened]) -> Opened | None:
    return next((each for each in tries if each.done() and each.result() is not None), None)


async def _stop(tries: list[Opened]) -> int:
    """Cancel what is under way and abandon what has opened; returns the tokens that they had made."""
    for each in tries:
        each.cancel()
    results = await asyncio.gather(*tries, return_exceptions=True)
    openings = [result for result in results if isinstance(result, Opening)]
    await asyncio.gather(*(opening.attempt.abandon() for opening in openings))
    return sum(opening.attempt.tokens for opening in openings)
