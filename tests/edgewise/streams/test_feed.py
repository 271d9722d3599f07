"""Feeding: a stream that is made in this process reaches its readers without asking the log, and never wrongly."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.streams.log import Record
from edgewise.streams.tailer import Feed
from edgewise.wire.errors import LogUnavailableError
from tests.edgewise.streams.test_tailer import SID, Follower, Scene
from tests.factories.clock import settle


class FedScene(Scene):
    """A scene whose writer is local: what the log confirmed goes to the feed too."""

    async def open(self) -> None:
        await super().open()
        self.feed: Feed = self.hub.feed(SID, 0)

    async def pass_on(self, first: int = 0) -> None:
        self.feed.take(self.log._streams[SID].records[first:])
        await settle()

    async def say_and_feed(self, count: int = 1) -> None:
        first = self.next_seq
        await self.say(count)
        await self.pass_on(first)


@pytest.fixture
async def fed() -> FedScene:
    scene = FedScene()
    await scene.open()
    return scene


async def test_readers_of_a_local_stream_ask_the_log_for_nothing(fed: FedScene) -> None:
    early = Follower(fed.hub)
    await fed.say_and_feed(3)
    late = Follower(fed.hub)
    await settle()
    first = fed.next_seq
    await fed.end()
    await fed.pass_on(first)
    await asyncio.gather(early.task, late.task)
    fed.feed.close()
    assert early.seqs == late.seqs == [0, 1, 2, 3]
    assert (fed.log.reads, fed.log.watching, fed.hub.tailing) == (0, 0, 0)


async def test_a_reader_that_is_behind_the_ring_falls_back_to_the_log(fed: FedScene) -> None:
    await fed.say_and_feed(20)
    late = Follower(fed.hub)
    await settle()
    assert late.seqs == list(range(20))
    assert fed.log.reads > 0
    await fed.say_and_feed(1)
    assert late.seqs == list(range(21))
    await late.leave()


async def test_when_the_feed_closes_readers_see_what_another_writer_writes(fed: FedScene) -> None:
    follower = Follower(fed.hub)
    await fed.say_and_feed(2)
    fed.feed.close()
    await fed.say(2)
    await settle()
    assert follower.seqs == [0, 1, 2, 3]
    await fed.end()
    await follower.task
    assert follower.seqs == [0, 1, 2, 3, 4]


async def test_readers_of_a_stream_that_is_taken_over_here_miss_nothing(scene_that_ran: Scene) -> None:
    """It was watched until now; the feed begins where this writer's claim does."""
    follower = Follower(scene_that_ran.hub)
    await settle()
    await scene_that_ran.say(2)  # by the old writer, and not yet seen here
    feed = scene_that_ran.hub.feed(SID, scene_that_ran.next_seq)
    await scene_that_ran.say(1)
    feed.take(scene_that_ran.log._streams[SID].records[-1:])
    await settle()
    await scene_that_ran.end()
    feed.take(scene_that_ran.log._streams[SID].records[-1:])
    await follower.task
    feed.close()
    await settle()
    assert follower.seqs == list(range(scene_that_ran.next_seq))
    assert scene_that_ran.hub.tailing == 0


async def test_a_feed_with_a_hole_is_completed_from_the_log(fed: FedScene) -> None:
    follower = Follower(fed.hub)
    await fed.say(3)
    await fed.pass_on(first=2)
    assert follower.seqs == [0, 1, 2]
    await follower.leave()


async def test_a_writer_that_had_to_stop_is_told_to_fed_readers(fed: FedScene) -> None:
    follower = Follower(fed.hub)
    await fed.say_and_feed(1)
    fed.feed.close()
    fed.hub.fail(SID, LogUnavailableError("away"))
    with pytest.raises(LogUnavailableError):
        await follower.task


@pytest.fixture
async def scene_that_ran() -> Scene:
    scene = Scene()
    await scene.open()
    await scene.say(3)
    return scene


@given(st.data())
async def test_whatever_is_fed_again_or_late_every_record_comes_once_and_in_order(data: st.DataObject) -> None:
    fed = FedScene(ring_records=data.draw(st.integers(1, 8)))
    await fed.open()
    followers = [Follower(fed.hub)]
    for _ in range(data.draw(st.integers(1, 6))):
        await fed.say(data.draw(st.integers(1, 4)))
        records: list[Record] = fed.log._streams[SID].records
        fed.feed.take(records[data.draw(st.integers(0, len(records) - 1)) :])
        if data.draw(st.booleans()):
            followers.append(Follower(fed.hub, data.draw(st.integers(-1, len(records) - 1))))
        await settle()
    await fed.end()
    fed.feed.take(fed.log._streams[SID].records[-1:])
    fed.feed.close()
    await asyncio.gather(*(follower.task for follower in followers))
    assert all(each.seqs == list(range(fed.next_seq))[-len(each.seqs) :] for each in followers)
    assert followers[0].seqs == list(range(fed.next_seq))
