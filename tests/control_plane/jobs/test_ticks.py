"""Schedules: when they are due, that a tick adds its job once, and what happens after a pause."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from control_plane.jobs.repository import JobFilter, JobRepository
from control_plane.jobs.ticks import Daily, Every, Schedule, Ticker
from tests.control_plane.jobs.making import Made

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "now", "newest"),
    [
        (Every(30), datetime(2026, 5, 4, 12, 0, 59, 999, tzinfo=UTC), datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)),
        (Every(3600), NOON, NOON),
        (Daily(time(1, 10)), datetime(2026, 5, 4, 1, 9, tzinfo=UTC), datetime(2026, 5, 3, 1, 10, tzinfo=UTC)),
        (Daily(time(1, 10)), datetime(2026, 5, 4, 1, 10, tzinfo=UTC), datetime(2026, 5, 4, 1, 10, tzinfo=UTC)),
    ],
)
def test_the_newest_due_moment(when: Every | Daily, now: datetime, newest: datetime) -> None:
    assert when.newest(now) == newest


def ticker(made: Made) -> Ticker:
    schedule = Schedule(name="nightly", kind="work", when=Every(60), payload=lambda due_at: {"due": due_at.isoformat()})
    return Ticker(made.database, made.queue, [schedule], now=made.now)


async def jobs(made: Made) -> list[str]:
    async with made.database.reading() as session:
        rows = await JobRepository(session).page(JobFilter(), before_id=None, limit=50)
    return [row.payload["due"] for row in rows]


async def finish_all(made: Made) -> None:
    while found := await made.leases.claim_any(["work"], "me"):
        await made.leases.complete(found, None)


async def test_any_number_of_tickers_add_one_job_for_each_moment(made: Made) -> None:
    tickers = [ticker(made) for _ in range(3)]
    assert [await each.tick() for each in tickers] == [["nightly"], [], []]
    assert await tickers[0].tick() == []
    assert await jobs(made) == [NOON.isoformat()]


async def test_after_a_pause_the_newest_missed_moment_is_made_up_for_and_only_that(made: Made) -> None:
    await ticker(made).tick()
    await finish_all(made)
    made.now.advance(60 * 5 + 7)
    assert await ticker(made).tick() == ["nightly"]
    assert await jobs(made) == ["2026-05-04T12:05:00+00:00", NOON.isoformat()]


async def test_a_job_that_still_runs_is_not_joined_by_another_of_its_schedule(made: Made) -> None:
    await ticker(made).tick()
    made.now.advance(60)
    assert await ticker(made).tick() == ["nightly"]
    assert await jobs(made) == [NOON.isoformat()]
