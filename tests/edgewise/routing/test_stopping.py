"""Openings that are cancelled while the losers are being stopped: nobody goes on, the winner and the losers alike."""

import asyncio

import pytest

from edgewise.generation.state import GenerationState
from edgewise.routing.attempt import Attempt
from edgewise.routing.modes import MODES
from edgewise.routing.modes.base import Opening
from edgewise.routing.plan import Limits, Plan
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.tier import Tier, TierKind
from edgewise.routing.uninterrupted import uninterrupted

STATE = GenerationState(
    prompt_ids=(1, 2), messages=(), model="m", max_tokens=10, seed=1, tokenizer_digest="t", template_digest="c"
)
HEAD_START = Limits(head_start_s=0.001)


class SlowToStop(ScriptedTier):
    """Says nothing, and stops only when it `may`."""

    def __init__(self, name: str, kind: TierKind) -> None:
        super().__init__(name, kind, Script(hangs_at=0))
        self.stopping = asyncio.Event()
        self.may = asyncio.Event()

    async def cancel(self, attempt: str) -> None:
        self.stopping.set()
        await self.may.wait()
        await super().cancel(attempt)


async def opening(mode: str, limits: Limits, *tiers: Tier) -> Opening:
    def source(kind: TierKind) -> list[Tier]:
        return [tier for tier in tiers if tier.kind == kind]

    plan = Plan(mode=mode, kinds=("edge", "cloud"), tiers=source, limits=limits)
    open_mode, _ = MODES[mode]
    return await open_mode(plan, STATE, lambda tier: Attempt(tier, STATE, tier.name))


@pytest.mark.parametrize(("mode", "limits"), [("race", Limits()), ("prefer-edge", HEAD_START)])
@pytest.mark.parametrize("cancels", [1, 3])
async def test_cancelled_while_the_loser_stops(mode: str, limits: Limits, cancels: int) -> None:
    loser, winner = SlowToStop("edge:a", "edge"), ScriptedTier("cloud:w", "cloud", Script())
    task = asyncio.create_task(opening(mode, limits, loser, winner))
    await loser.stopping.wait()
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    loser.may.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (loser.cancelled, winner.cancelled) == (["edge:a"], ["cloud:w"])


@pytest.mark.parametrize(("mode", "limits"), [("race", Limits()), ("prefer-edge", HEAD_START)])
async def test_cancelled_again_while_all_are_being_stopped(mode: str, limits: Limits) -> None:
    tiers = SlowToStop("edge:a", "edge"), SlowToStop("cloud:w", "cloud")
    task = asyncio.create_task(opening(mode, limits, *tiers))
    while not all(tier.states for tier in tiers):
        await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*(tier.stopping.wait() for tier in tiers))
    for tier in tiers:
        tier.may.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [tier.cancelled for tier in tiers] == [["edge:a"], ["cloud:w"]]


@pytest.mark.parametrize(("mode", "limits"), [("race", Limits()), ("prefer-edge", HEAD_START)])
async def test_a_time_limit_there_is_still_one(mode: str, limits: Limits) -> None:
    loser, winner = SlowToStop("edge:a", "edge"), ScriptedTier("cloud:w", "cloud", Script())

    async def expire() -> None:
        await loser.stopping.wait()
        limit.reschedule(0.0)
        while not limit.expired():
            await asyncio.sleep(0)
        loser.may.set()

    beside = asyncio.create_task(expire())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            await opening(mode, limits, loser, winner)
    await beside
    assert (loser.cancelled, winner.cancelled) == (["edge:a"], ["cloud:w"])


async def test_work_that_fails_says_so() -> None:
    async def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await uninterrupted(fails())
