"""Following: every reader gets every record once and in order, whatever is lost, late or slow on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.streams.entries import CancelEntry, EndEntry, TokensEntry, encode_entry
from edgewise.streams.log import Record
from edgewise.streams.memory import MemoryStreamLog
from edgewise.streams.tailer import TailerHub
from edgewise.wire.errors import CursorAheadError, LogUnavailableError, StreamNotFoundError
from tests.factories.clock import ManualClock, settle

SID = "stream"
END = encode_entry(EndEntry("stop", 1, 1))


class CountingLog(MemoryStreamLog):
    """Counts reads and watches; `deaf` loses every wake-up; `broken` fails every read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.watching = 0
        self.deaf = False
        self.broken = False

    async def read(self, sid: str, *, after: int, limit: int = 1000) -> list[Record]:
        self.reads += 1
        if self.broken:
            raise LogUnavailableError("away")
        return await super().read(sid, after=after, limit=limit)

    async def watch(self, sid: str) -> AsyncIterator[None]:
        self.watching += 1
        try:
            async for wake in super().watch(sid):
                if not self.deaf:
                    yield wake
        finally:
            self.watching -= 1


class Scene:
    """One open stream, its hub, and a clock for the watchdog."""

    def __init__(self, ring_records: int = 8) -> None:
        self.clock = ManualClock()
        self.log = CountingLog()
        self.hub = TailerHub(self.log, ring_records=ring_records, call_later=self.clock.call_later)
        self.next_seq = 0

    async def open(self) -> None:
        await self.log.create(SID, owner="k", request=b"")
        await self.log.claim(SID, holder="a", lease_s=100, seen_epoch=0)

    async def say(self, count: int = 1) -> None:
        for _ in range(count):
            payload = encode_entry(TokensEntry(self.next_seq, (self.next_seq,), "x"))
            await self.log.append(SID, epoch=1, seq=self.next_seq, payloads=[payload])
            self.next_seq += 1

    async def end(self) -> None:
        await self.log.append(SID, epoch=1, seq=self.next_seq, payloads=[END], end=True)
        self.next_seq += 1


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.open()
    return scene


class Follower:
    """A task that follows and remembers the sequence numbers that it got."""

    def __init__(self, hub: TailerHub, after: int = -1, sid: str = SID) -> None:
        self.seqs: list[int] = []
        self.task = asyncio.create_task(self._follow(hub, sid, after))

    async def _follow(self, hub: TailerHub, sid: str, after: int) -> None:
        async for record in hub.follow(sid, after):
            self.seqs.append(record.seq)

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await settle()


async def test_a_follower_gets_what_is_there_and_what_comes_up_to_the_end(scene: Scene) -> None:
    await scene.say(3)
    follower = Follower(scene.hub)
    await settle()
    assert follower.seqs == [0, 1, 2]
    await scene.say(2)
    await settle()
    assert follower.seqs == [0, 1, 2, 3, 4]
    await scene.end()
    await follower.task
    assert follower.seqs == list(range(6))


async def test_a_cancel_ends_the_following(scene: Scene) -> None:
    follower = Follower(scene.hub)
    await settle()
    await scene.log.cancel(SID, payload=encode_entry(CancelEntry("user")))
    await follower.task
    assert follower.seqs == [0]


async def test_an_ended_stream_is_replayed_without_a_watch(scene: Scene) -> None:
    await scene.say(3)
    await scene.end()
    for after, expected in [(-1, [0, 1, 2, 3]), (1, [2, 3]), (3, [])]:
        follower = Follower(scene.hub, after)
        await follower.task
        assert follower.seqs == expected
    assert scene.hub.tailing == 0


async def test_a_thousand_followers_share_one_watch_and_its_reads(scene: Scene) -> None:
    followers = [Follower(scene.hub) for _ in range(1000)]
    await settle()
    assert (scene.hub.tailing, scene.log.watching) == (1, 1)
    joined = scene.log.reads
    for _ in range(10):
        await scene.say()
        await settle()
    await scene.end()
    await asyncio.gather(*(follower.task for follower in followers))
    assert all(follower.seqs == list(range(11)) for follower in followers)
    assert scene.log.reads - joined <= 22
    await settle()
    assert (scene.hub.tailing, scene.log.watching) == (0, 0)


async def test_the_last_follower_switches_off_the_light(scene: Scene) -> None:
    first, second = Follower(scene.hub), Follower(scene.hub)
    await settle()
    await first.leave()
    assert (scene.hub.tailing, scene.log.watching) == (1, 1)
    await second.leave()
    assert (scene.hub.tailing, scene.log.watching) == (0, 0)


async def test_a_lost_wake_up_costs_one_watchdog_and_no_record(scene: Scene) -> None:
    scene.log.deaf = True
    follower = Follower(scene.hub)
    await settle()
    await scene.say(2)
    await scene.end()
    await settle()
    assert follower.seqs == []
    await scene.clock.advance(1.0)
    await follower.task
    assert follower.seqs == [0, 1, 2]


async def test_a_slow_follower_reads_ranges_and_hinders_nobody(scene: Scene) -> None:
    slow = scene.hub.follow(SID, -1)
    fast = Follower(scene.hub)
    await settle()
    await scene.say()
    got = [(await anext(slow)).seq]
    for _ in range(5):
        await scene.say(20)
        await settle()
    assert fast.seqs == list(range(101))
    await scene.end()
    got += [record.seq async for record in slow]
    assert got == list(range(102))


async def test_a_later_follower_catches_up_with_the_ring(scene: Scene) -> None:
    first = Follower(scene.hub)
    await settle()
    await scene.say(30)
    await settle()
    late = [Follower(scene.hub, after) for after in (-1, 3, 25, 29)]
    await settle()
    await scene.say()
    await scene.end()
    await asyncio.gather(first.task, *(follower.task for follower in late))
    assert [follower.seqs[0] for follower in late] == [0, 4, 26, 30]
    assert all(follower.seqs == list(range(follower.seqs[0], 32)) for follower in late)


async def test_a_stream_that_is_longer_than_a_page_is_read_in_pages() -> None:
    scene = Scene()
    await scene.open()
    await scene.say(2500)
    follower = Follower(scene.hub)
    await settle()
    assert len(follower.seqs) == 2500
    await scene.end()
    await follower.task
    assert follower.seqs == list(range(2501))


async def test_bad_cursors_and_unknown_streams_are_told(scene: Scene) -> None:
    with pytest.raises(CursorAheadError):
        await Follower(scene.hub, after=5).task
    with pytest.raises(StreamNotFoundError):
        await Follower(scene.hub, sid="other").task
    assert scene.hub.tailing == 0


async def test_a_failing_log_is_told_to_every_follower_and_the_next_one_starts_afresh(scene: Scene) -> None:
    followers = [Follower(scene.hub) for _ in range(3)]
    await settle()
    scene.log.broken = True
    await scene.say()
    results = await asyncio.gather(*(follower.task for follower in followers), return_exceptions=True)
    assert [type(result) for result in results] == [LogUnavailableError] * 3
    scene.log.broken = False
    follower = Follower(scene.hub)
    await scene.end()
    await follower.task
    assert follower.seqs == [0, 1]


async def test_a_log_that_lost_its_tail_gets_time_to_mend(scene: Scene) -> None:
    follower = Follower(scene.hub)
    await scene.say(4)
    await settle()
    records = scene.log._streams[SID].records
    lost = records[2:]
    del records[2:]
    await scene.clock.advance(2.0)
    records.extend(lost)
    await scene.say()
    await scene.end()
    await follower.task
    assert follower.seqs == list(range(6))


async def test_a_log_that_does_not_mend_is_told(scene: Scene) -> None:
    follower = Follower(scene.hub)
    await scene.say(4)
    await settle()
    del scene.log._streams[SID].records[2:]
    await scene.clock.advance(4.0)
    with pytest.raises(CursorAheadError):
        await follower.task


@given(
    script=st.lists(st.sampled_from(["say", "many", "join", "leave", "deaf", "tick"]), max_size=30),
    afters=st.lists(st.integers(-1, 40), min_size=30, max_size=30),
)
async def test_whatever_happens_every_follower_gets_each_record_once(script: list[str], afters: list[int]) -> None:
    scene = Scene(ring_records=4)
    await scene.open()
    followers: list[tuple[int, Follower]] = []
    for step, after in zip(script, afters, strict=False):
        if step == "say":
            await scene.say()
        elif step == "many":
            await scene.say(7)
        elif step == "join":
            start = min(after, scene.next_seq - 1)
            followers.append((start, Follower(scene.hub, start)))
        elif step == "leave" and followers:
            await followers.pop(after % len(followers))[1].leave()
        elif step == "deaf":
            scene.log.deaf = not scene.log.deaf
        else:
            await scene.clock.advance(after / 20)
    await scene.end()
    await scene.clock.advance(1.5)
    await asyncio.wait_for(asyncio.gather(*(follower.task for _, follower in followers)), 5)
    for start, follower in followers:
        assert follower.seqs == list(range(start + 1, scene.next_seq))
    assert (scene.hub.tailing, scene.log.watching) == (0, 0)
