"""Sealing as a job: what a dead gateway left unsealed reaches SQL, and only then does its live copy run out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast

import pytest
from redis.asyncio import Redis

from control_plane.database import Database
from control_plane.decisions.sealed import SealedStreams, encode_records
from control_plane.errors import DatabaseUnavailableError
from control_plane.jobs.job import ClaimedJob
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.worker import RunningJob
from control_plane.streams.archive import Sealer
from control_plane.streams.tasks import BATCH, purge_sealed, seal_and_trim
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.ids import new_id
from edgewise.streams.entries import CancelEntry, EndEntry, encode_entry
from edgewise.streams.log import Record
from edgewise.wire.errors import StreamNotFoundError
from tests.control_plane.jobs.making import Moment
from tests.factories.valkey import MortalValkey

TTL_S, UNSEALED_S = 60.0, 600.0


@pytest.fixture
async def client(mortal_valkey: MortalValkey) -> AsyncIterator[Redis]:
    client = connect(mortal_valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def log(client: Redis) -> AsyncIterator[ValkeyStreamLog]:
    log = ValkeyStreamLog(client, ttl_s=TTL_S, unsealed_ttl_s=UNSEALED_S)
    yield log
    await log.aclose()


def a_job() -> RunningJob:
    now = Moment()()
    claimed = ClaimedJob(id="j", kind="k", payload={}, epoch=1, attempt=1, max_attempts=1, lease_until=now)
    return RunningJob(claimed, cast(JobLeases, None))


async def ended(log: ValkeyStreamLog, payload: bytes = encode_entry(EndEntry("stop", 1, 1))) -> str:
    sid = new_id()
    await log.create(sid, owner="k", request=b"r")
    await log.claim(sid, holder="a", lease_s=60.0, seen_epoch=0)
    await log.append(sid, epoch=1, seq=0, payloads=[payload], end=True)
    return sid


async def cancelled(log: ValkeyStreamLog) -> str:
    sid = new_id()
    await log.create(sid, owner="k", request=b"r")
    await log.cancel(sid, payload=encode_entry(CancelEntry("by test")))
    return sid


async def left_s(client: Redis, sid: str) -> float:
    (key,) = await client.keys(f"ew:*:l:{sid}")
    return float(await client.pttl(key)) / 1000


async def test_what_nobody_sealed_is_found_sealed_and_then_runs_out(
    log: ValkeyStreamLog, client: Redis, database: Database
) -> None:
    sealed = SealedStreams(database)
    sids = [await ended(log), await ended(log), await cancelled(log)]
    assert sorted(await log.unsealed(older_s=0.0, limit=10)) == sorted(sids)
    assert await log.unsealed(older_s=60.0, limit=10) == []
    assert TTL_S < await left_s(client, sids[0]) <= UNSEALED_S

    body = seal_and_trim(log, Sealer(log, sealed), settled_s=0.0)
    assert await body(a_job()) == {"sealed": 3, "failed": 0}
    assert [(await sealed.get(sid)).status for sid in sids] == ["done", "done", "cancelled"]
    assert await left_s(client, sids[0]) <= TTL_S
    assert await log.unsealed(older_s=0.0, limit=10) == []
    assert await body(a_job()) == {"sealed": 0, "failed": 0}


async def test_a_gateway_that_seals_takes_its_stream_off_the_index(log: ValkeyStreamLog, database: Database) -> None:
    sid = await ended(log)
    await Sealer(log, SealedStreams(database), on_sealed=log.mark_sealed).seal(sid)
    assert await log.unsealed(older_s=0.0, limit=10) == []


async def test_one_that_cannot_be_sealed_stops_no_other_and_one_that_is_gone_is_let_go(
    log: ValkeyStreamLog, client: Redis, database: Database
) -> None:
    broken, gone, good = await ended(log, b"not an entry"), await ended(log), await ended(log)
    for key in await client.keys(f"ew:*:*:{gone}"):
        await client.delete(key)
    result = await seal_and_trim(log, Sealer(log, SealedStreams(database)), settled_s=0.0)(a_job())
    assert result == {"sealed": 2, "failed": 1}
    assert await log.unsealed(older_s=0.0, limit=10) == [broken]
    assert (await SealedStreams(database).get(good)).status == "done"


async def test_more_than_a_batch_and_what_was_sealed_before(log: ValkeyStreamLog, database: Database) -> None:
    """A gateway sealed one of them already, and somebody other bytes under the id of another."""
    sealed = SealedStreams(database)
    sids = [await ended(log) for _ in range(BATCH + 5)]
    await Sealer(log, sealed).seal(sids[0])
    other = encode_records([Record(0, 1, encode_entry(EndEntry("length", 2, 2)))])
    await sealed.seal(sids[1], "k", other, "done")
    result = await seal_and_trim(log, Sealer(log, sealed), settled_s=0.0)(a_job())
    assert result == {"sealed": BATCH + 4, "failed": 1}
    assert await log.unsealed(older_s=0.0, limit=10) == [sids[1]]
    assert {(await sealed.get(sid)).finish for sid in sids[2:]} == {"stop"}


async def test_a_database_that_is_away_leaves_everything_to_the_next_try(log: ValkeyStreamLog) -> None:
    class Away:
        async def seal_many(self, *_args: object) -> None:
            raise DatabaseUnavailableError("away")

    sid = await ended(log)
    with pytest.raises(DatabaseUnavailableError):
        await seal_and_trim(log, Sealer(log, cast(SealedStreams, Away())), settled_s=0.0)(a_job())
    assert await log.unsealed(older_s=0.0, limit=10) == [sid]


async def test_sealed_streams_are_forgotten_after_their_days_and_0_keeps_them(
    log: ValkeyStreamLog, database: Database
) -> None:
    now = Moment()
    sealed = SealedStreams(database, now=now)
    sid = await ended(log)
    await Sealer(log, sealed).seal(sid)
    now.advance(timedelta(days=31).total_seconds())
    assert await purge_sealed(sealed, 0, now=now)(a_job()) == {"kept": "for ever"}
    await purge_sealed(sealed, 32, now=now)(a_job())
    assert (await sealed.get(sid)).owner == "k"
    await purge_sealed(sealed, 30, now=now)(a_job())
    with pytest.raises(StreamNotFoundError):
        await sealed.get(sid)
