"""What one gateway writes, the others read again: by message, by counter, and after a while anyhow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from control_plane.errors import DatabaseUnavailableError
from control_plane.gateways.changes import LocalChanges, SharedChanges
from edgewise.wire.errors import LogUnavailableError
from tests.control_plane.gateways.fleet import Fleet, Gateway, no_wait
from tests.factories.clock import ManualClock, settle


class Topic:
    """Counts how often it was read again."""

    def __init__(self) -> None:
        self.reloads = 0
        self.error: Exception | None = None

    async def reload(self) -> None:
        self.reloads += 1
        if self.error is not None:
            raise self.error


@asynccontextmanager
async def running(changes: SharedChanges) -> AsyncIterator[None]:
    task = asyncio.create_task(changes.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def two_with_keys(fleet: Fleet) -> AsyncIterator[tuple[Gateway, Topic, Gateway, Topic]]:
    one, two = await fleet.gateway("one"), await fleet.gateway("two")
    topics = Topic(), Topic()
    for gateway, topic in zip((one, two), topics, strict=True):
        gateway.changes.on("keys", topic.reload)
    await fleet.beats()
    for gateway in (one, two):
        gateway.changes.connect(gateway.gateways.bump)
    async with running(one.changes), running(two.changes):
        await settle()
        yield one, topics[0], two, topics[1]


async def test_a_change_is_heard_by_the_other_and_not_read_again_by_the_teller() -> None:
    async with two_with_keys(Fleet()) as (one, mine, _, theirs):
        one.changes.tell("keys")
        await settle()
        assert (mine.reloads, theirs.reloads) == (0, 1)


async def test_a_lost_message_is_made_up_for_by_the_next_beat() -> None:
    fleet = Fleet(lambda sender, receiver, data: [] if b"changed" in data else [data])
    async with two_with_keys(fleet) as (one, mine, two, theirs):
        one.changes.tell("keys")
        await settle()
        assert theirs.reloads == 0
        await two.beat()
        await one.beat()
        assert (mine.reloads, theirs.reloads) == (0, 1)
        await two.beat()
        assert theirs.reloads == 1


async def test_both_change_at_once_and_both_read_again() -> None:
    async with two_with_keys(Fleet()) as (one, mine, two, theirs):
        one.changes.tell("keys")
        two.changes.tell("keys")
        await settle()
        await one.beat()
        await two.beat()
        assert mine.reloads >= 1 and theirs.reloads >= 1


async def test_a_change_made_while_the_server_is_away_is_told_later() -> None:
    fleet = Fleet()
    async with two_with_keys(fleet) as (one, _, two, theirs):
        fleet.server.up = False
        one.changes.tell("keys")
        await settle()
        assert theirs.reloads == 0
        fleet.server.up = True
        one.changes.heard(True)
        await settle()
        await two.beat()
        assert theirs.reloads == 1


async def test_when_messages_come_again_everything_is_read_once() -> None:
    fleet = Fleet()
    async with two_with_keys(fleet) as (_, _, two, theirs):
        fleet.server.up = False
        await two.beat()
        fleet.server.up = True
        await two.beat()
        assert theirs.reloads == 1


async def test_a_server_that_lost_its_memory_makes_everybody_read_again() -> None:
    fleet = Fleet()
    async with two_with_keys(fleet) as (one, _, two, theirs):
        one.changes.tell("keys")
        await settle()
        fleet.server.versions.clear()
        await two.beat()
        assert theirs.reloads == 2


async def test_after_a_while_everything_is_read_whatever_was_heard() -> None:
    clock, topic = ManualClock(), Topic()
    changes = SharedChanges(clock=clock, sleep=no_wait)
    changes.on("policies", topic.reload)
    async with running(changes):
        await settle()
        assert topic.reloads == 0
        clock.now += 31
        changes.heard(True)  # any wake-up will do
        await settle()
        assert topic.reloads == 1


async def test_a_reload_that_fails_is_tried_again_and_keeps_no_other_from_working() -> None:
    clock, bad, good = ManualClock(), Topic(), Topic()
    bad.error = DatabaseUnavailableError("away")
    changes = SharedChanges(clock=clock, sleep=no_wait)
    changes.on("keys", bad.reload)
    changes.on("models", good.reload)
    async with running(changes):
        for topic in ("keys", "models"):
            changes.on_version(topic, 1)
            changes.on_version(topic, 2)
        await settle()
        assert good.reloads == 1 and bad.reloads > 1
        bad.error = None
        await settle()
        tries = bad.reloads
        await settle()
        assert bad.reloads == tries


async def test_the_first_version_that_is_seen_is_where_we_start() -> None:
    topic = Topic()
    changes = SharedChanges(clock=ManualClock(), sleep=no_wait)
    changes.on("keys", topic.reload)
    async with running(changes):
        changes.on_versions({"keys": 7})
        await settle()
        assert topic.reloads == 0
        changes.on_versions({"keys": 8})
        await settle()
        assert topic.reloads == 1


async def test_a_teller_that_cannot_tell_keeps_trying() -> None:
    told: list[str] = []
    fails = [LogUnavailableError("away"), LogUnavailableError("away")]

    async def bump(topic: str) -> int:
        if fails:
            raise fails.pop()
        told.append(topic)
        return len(told)

    changes = SharedChanges(clock=ManualClock(), sleep=no_wait)
    changes.connect(bump)
    async with running(changes):
        changes.tell("limits")
        await settle()
    assert told == ["limits"]


async def test_alone_there_is_nothing_to_do() -> None:
    topic, changes = Topic(), LocalChanges()
    changes.on("keys", topic.reload)
    changes.tell("keys")
    await settle()
    assert topic.reloads == 0
