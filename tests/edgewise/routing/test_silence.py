"""Silence is noticed by one timer, told once per stretch of it, and over with the answer."""

from __future__ import annotations

import asyncio

import pytest

from edgewise.routing.silence import SilenceWatch
from tests.factories.clock import ManualClock


class Warned:
    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


@pytest.mark.parametrize(("heard_at", "expected"), [((), 2), ((9,), 1), ((9, 18), 0), ((1, 2, 3), 1), ((12,), 1)])
async def test_each_long_silence_is_told_once(heard_at: tuple[int, ...], expected: int) -> None:
    clock, warned = ManualClock(0.0), Warned()
    async with SilenceWatch(10.0, warned, clock=clock, call_later=clock.call_later) as watch:
        for second in range(1, 21):
            await clock.advance(1.0)
            if second in heard_at:
                watch.heard()
    assert warned.times == expected


async def test_nothing_is_told_after_the_end() -> None:
    clock, warned = ManualClock(0.0), Warned()
    async with SilenceWatch(10.0, warned, clock=clock, call_later=clock.call_later):
        await clock.advance(9.0)
    await clock.advance(100.0)
    assert warned.times == 0


async def test_a_warning_under_way_ends_with_the_answer() -> None:
    clock, began, ended = ManualClock(0.0), asyncio.Event(), asyncio.Event()

    async def warn() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with SilenceWatch(10.0, warn, clock=clock, call_later=clock.call_later):
        await clock.advance(10.0)
        assert began.is_set()
    assert ended.is_set()
