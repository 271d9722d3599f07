"""Pacing: the first tokens at once, the rate from there on, no burst after a silence; nothing else waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.streams.entries import CancelEntry, EndEntry, Entry, TierEntry, TokensEntry, WarnEntry, encode_entry
from edgewise.streams.log import Record
from edgewise.streams.pacing import Pace, paced
from edgewise.wire.errors import LogUnavailableError


class Reader:
    """Reads records that come `after_s` one another, on a clock that only waiting moves."""

    def __init__(self, tokens_per_s: float) -> None:
        self.now = 1000.0
        self.pace = Pace(tokens_per_s, clock=lambda: self.now, sleep=self.wait)

    async def wait(self, seconds: float) -> None:
        self.now += seconds

    async def read(self, entry: Entry, *, after_s: float = 0.0) -> float:
        """When the record is shown, in seconds since the beginning."""
        self.now += after_s
        await self.pace.before(Record(0, 1, encode_entry(entry)))
        return round(self.now - 1000.0, 6)


def tokens(count: int) -> TokensEntry:
    return TokensEntry(0, tuple(range(count)), "x" * count)


async def test_tokens_come_at_the_rate_and_the_first_ones_at_once() -> None:
    reader = Reader(10.0)
    assert [await reader.read(tokens(count)) for count in (1, 5, 2, 1)] == [0.0, 0.1, 0.6, 0.8]


async def test_who_is_slower_than_the_rate_is_not_held_back() -> None:
    reader = Reader(10.0)
    assert [await reader.read(tokens(1), after_s=0.2) for _ in range(3)] == [0.2, 0.4, 0.6]


async def test_a_silence_is_not_made_up_for() -> None:
    reader = Reader(10.0)
    await reader.read(tokens(1))
    assert [await reader.read(tokens(1), after_s=wait) for wait in (60.0, 0.0, 0.0)] == [60.0, 60.1, 60.2]


@pytest.mark.parametrize(
    "entry",
    [TierEntry("t", "edge", "m", "v", "chosen"), WarnEntry("slow", "m"), CancelEntry("c"), EndEntry("stop", 1, 2)],
)
async def test_only_tokens_wait(entry: Entry) -> None:
    reader = Reader(0.1)
    await reader.read(tokens(5))
    assert await reader.read(entry) == 0.0
    assert await reader.read(tokens(1)) == 50.0


@pytest.mark.parametrize(("text", "seconds"), [("word", 1.0), ("words", 2.0), ("你好", 2.0), ("", 0.0)])
async def test_text_without_ids_counts_by_its_bytes(text: str, seconds: float) -> None:
    reader = Reader(1.0)
    await reader.read(TokensEntry(0, (), text))
    assert await reader.read(tokens(1)) == seconds


@given(
    rate=st.floats(0.1, 1000.0),
    arrivals=st.lists(st.tuples(st.integers(1, 50), st.floats(0.0, 5.0)), min_size=1, max_size=30),
)
async def test_between_any_two_records_there_is_time_for_the_tokens(
    rate: float, arrivals: list[tuple[int, float]]
) -> None:
    reader = Reader(rate)
    shown = [(count, await reader.read(tokens(count), after_s=after_s)) for count, after_s in arrivals]
    for place, (_, began) in enumerate(shown):
        before = 0
        for count, at in shown[place:]:
            assert at - began >= before / rate - 1e-4
            before += count


async def test_in_a_hurry_nothing_waits_and_what_waits_is_shown() -> None:
    now = 0.0
    pace = Pace(0.001, clock=lambda: now, sleep=lambda seconds: asyncio.Event().wait())
    record = Record(0, 1, encode_entry(tokens(5)))
    await pace.before(record)
    waiting = asyncio.create_task(pace.before(record))
    await asyncio.sleep(0)
    assert not waiting.done()
    pace.hurry()
    await waiting
    for _ in range(3):
        await pace.before(record)


async def test_who_leaves_while_it_waits_leaves_nothing_behind() -> None:
    pace = Pace(0.001, sleep=lambda seconds: asyncio.Event().wait())
    before = asyncio.all_tasks()
    records = paced(follow, pace)
    assert (await anext(records)).seq == 0
    waiting = asyncio.create_task(anext(records))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await records.aclose()
    assert asyncio.all_tasks() == before


async def test_what_was_seen_before_does_not_wait() -> None:
    pace = Pace(0.001, sleep=lambda seconds: asyncio.Event().wait())
    async with aclosing(paced(follow, pace, 1)) as records:
        assert [(await anext(records)).seq for _ in range(3)] == [0, 1, 2]


async def follow(after: int) -> AsyncGenerator[Record, None]:
    """A stream of three records that goes on."""
    for seq in range(after + 1, 3):
        yield Record(seq, 1, encode_entry(tokens(5)))
    await asyncio.Event().wait()


async def test_what_is_no_entry_is_told() -> None:
    with pytest.raises(LogUnavailableError):
        await Reader(1.0).pace.before(Record(0, 1, b"\xc1"))
