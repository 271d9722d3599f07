"""One suite for every StreamLog: each must do what MemoryStreamLog, the plain statement of the rules, does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.ids import new_id
from edgewise.streams.entries import CancelEntry, encode_entry
from edgewise.streams.log import Claim, StreamLog
from edgewise.streams.memory import MemoryStreamLog
from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.wire.errors import (
    ConflictError,
    CursorAheadError,
    CursorTrimmedError,
    EdgewiseError,
    FencedError,
    LogGapError,
    StreamNotFoundError,
)

CANCEL = encode_entry(CancelEntry("user"))
ALIVE_S, EXPIRED_S = 60.0, 0.0


@pytest.fixture(params=["memory", "sqlite", "valkey", "redis"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StreamLog]:
    if request.param == "memory":
        yield MemoryStreamLog()
        return
    if request.param == "sqlite":
        real: SqliteStreamLog | ValkeyStreamLog = SqliteStreamLog(tmp_path / "log.db")
    else:
        real = valkey_log(request.getfixturevalue(f"{request.param}_server").url)
    yield real
    await real.aclose()


def valkey_log(url: str) -> ValkeyStreamLog:
    return ValkeyStreamLog(connect(url))


async def opened(log: StreamLog, lease_s: float = ALIVE_S) -> tuple[str, Claim]:
    sid = new_id()
    await log.create(sid, owner="key-1", request=b"request")
    return sid, await log.claim(sid, holder="a", lease_s=lease_s, seen_epoch=0)


async def test_opening_is_creating_and_claiming_in_one_step(log: StreamLog) -> None:
    sid = new_id()
    assert await log.open(sid, owner="key-1", request=b"r", holder="a", lease_s=ALIVE_S) == Claim(1, 0)
    head = await log.head(sid)
    assert (head.status, head.epoch, head.next_seq, head.owner, head.holder) == ("open", 1, 0, "key-1", "a")
    assert head.lease_left_s > 0
    assert await log.request(sid) == b"r"
    with pytest.raises(ConflictError):
        await log.open(sid, owner="key-1", request=b"r", holder="a", lease_s=ALIVE_S)
    with pytest.raises(FencedError):
        await log.claim(sid, holder="b", lease_s=ALIVE_S, seen_epoch=1)
    await log.append(sid, epoch=1, seq=0, payloads=[b"x"])


async def test_an_opened_stream_whose_lease_ran_out_is_an_orphan(log: StreamLog) -> None:
    sid = new_id()
    await log.open(sid, owner="key-1", request=b"r", holder="a", lease_s=EXPIRED_S)
    assert sid in await log.expired(limit=100_000)
    assert await log.claim(sid, holder="b", lease_s=ALIVE_S, seen_epoch=1) == Claim(2, 0)


async def payloads(log: StreamLog, sid: str) -> list[bytes]:
    return [record.payload for record in await log.read(sid, after=-1)]


# The whole protocol against the model ---------------------------------------------------------------------------

Step = tuple[str, int, int, bytes]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(-1, 0), st.integers(-2, 1), st.binary(max_size=3)),
        st.tuples(st.just("append"), st.just(0), st.just(0), st.binary(max_size=3)),
        st.tuples(st.just("append several"), st.integers(-1, 0), st.integers(-2, 1), st.binary(min_size=2, max_size=4)),
        st.tuples(st.just("end"), st.integers(-1, 0), st.integers(-1, 1), st.just(b"end")),
        st.tuples(st.just("claim"), st.integers(-1, 0), st.integers(0, 1), st.sampled_from([b"a", b"b"])),
        st.tuples(st.just("renew"), st.integers(-1, 0), st.just(0), st.just(b"")),
        st.tuples(st.just("release"), st.integers(-1, 0), st.just(0), st.just(b"")),
        st.tuples(st.just("read"), st.integers(-3, 1), st.integers(1, 3), st.just(b"")),
        st.sampled_from([("cancel", 0, 0, CANCEL), ("trim", 0, 0, b""), ("head", 0, 0, b""), ("request", 0, 0, b"")]),
    ),
    max_size=25,
)


async def do(log: StreamLog, sid: str, step: Step, epoch: int, next_seq: int) -> Any:
    """One step relative to where the model stands; the answer, or the class of the error."""
    verb, x, y, data = step
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "append": lambda: log.append(sid, epoch=epoch + x, seq=max(next_seq + y, 0), payloads=[data]),
        "append several": lambda: log.append(
            sid, epoch=epoch + x, seq=max(next_seq + y, 0), payloads=[data[i : i + 1] for i in range(len(data))]
        ),
        "end": lambda: log.append(sid, epoch=epoch + x, seq=max(next_seq + y, 0), payloads=[data], end=True),
        "claim": lambda: log.claim(
            sid, holder=data.decode(), lease_s=ALIVE_S if y else EXPIRED_S, seen_epoch=epoch + x
        ),
        "renew": lambda: log.renew(sid, epoch=epoch + x),
        "release": lambda: log.release(sid, epoch=epoch + x),
        "read": lambda: log.read(sid, after=max(next_seq + x, -1), limit=y),
        "cancel": lambda: log.cancel(sid, payload=data),
        "trim": lambda: log.trim(sid),
        "head": lambda: log.head(sid),
        "request": lambda: log.request(sid),
    }
    try:
        answer = await calls[verb]()
    except EdgewiseError as error:
        return type(error)
    return (answer.status, answer.epoch, answer.next_seq, answer.first_seq, answer.holder) if verb == "head" else answer


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=steps)
async def test_every_log_does_what_the_model_does(log: StreamLog, script: list[Step]) -> None:
    model = MemoryStreamLog()
    sid = new_id()
    for each in (model, log):
        await each.create(sid, owner="key-1", request=b"request")
    for step in [*script, ("head", 0, 0, b""), ("read", -30, 100, b"")]:
        head = await model.head(sid)
        assert await do(log, sid, step, head.epoch, head.next_seq) == await do(
            model, sid, step, head.epoch, head.next_seq
        ), step


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.binary(max_size=300), min_size=1, max_size=20))
async def test_payloads_of_any_bytes_come_back_in_order(log: StreamLog, data: list[bytes]) -> None:
    sid, claim = await opened(log)
    for seq, payload in enumerate(data):
        await log.append(sid, epoch=claim.epoch, seq=seq, payloads=[payload])
    records = await log.read(sid, after=-1)
    assert [record.payload for record in records] == data
    assert [record.seq for record in records] == list(range(len(data)))


async def test_calls_started_at_once_take_effect_in_their_order(log: StreamLog) -> None:
    """A writer opens, claims and appends several entries in one go; the log must not shuffle them."""
    sid = new_id()
    opening = log.create(sid, owner="k", request=b"r"), log.claim(sid, holder="a", lease_s=60.0, seen_epoch=0)
    _, claim = await asyncio.gather(*opening)
    appends = [log.append(sid, epoch=claim.epoch, seq=seq, payloads=[b"%d" % seq], end=seq == 9) for seq in range(10)]
    stored = await asyncio.gather(*appends)
    assert [appended.next_seq for appended in stored] == list(range(1, 11))
    assert [record.payload for record in await log.read(sid, after=-1)] == [b"%d" % seq for seq in range(10)]
    assert (await log.head(sid)).status == "done"


# Who may write --------------------------------------------------------------------------------------------------


async def test_a_zombie_is_fenced_whatever_it_writes(log: StreamLog) -> None:
    sid, old = await opened(log, EXPIRED_S)
    await log.append(sid, epoch=old.epoch, seq=0, payloads=[b"0"])
    new = await log.claim(sid, holder="b", lease_s=ALIVE_S, seen_epoch=old.epoch)
    assert new == Claim(old.epoch + 1, 1)
    for seq, payload in [(0, b"0"), (1, b"1"), (7, b"7")]:
        with pytest.raises(FencedError):
            await log.append(sid, epoch=old.epoch, seq=seq, payloads=[payload])
    with pytest.raises(FencedError):
        await log.renew(sid, epoch=old.epoch)
    assert await payloads(log, sid) == [b"0"]


async def test_of_claimants_at_the_same_time_one_wins(log: StreamLog) -> None:
    sid, old = await opened(log, EXPIRED_S)
    claims = [log.claim(sid, holder=f"h{n}", lease_s=ALIVE_S, seen_epoch=old.epoch) for n in range(10)]
    results = await asyncio.gather(*claims, return_exceptions=True)
    assert sum(isinstance(result, Claim) for result in results) == 1
    assert sum(isinstance(result, FencedError) for result in results) == 9


async def test_a_live_lease_keeps_others_out_until_it_runs_out(log: StreamLog) -> None:
    sid, old = await opened(log, ALIVE_S)
    with pytest.raises(FencedError):
        await log.claim(sid, holder="b", lease_s=ALIVE_S, seen_epoch=old.epoch)
    again = await log.claim(sid, holder="a", lease_s=EXPIRED_S, seen_epoch=old.epoch)
    assert (await log.claim(sid, holder="b", lease_s=ALIVE_S, seen_epoch=again.epoch)).epoch == again.epoch + 1


async def test_a_released_stream_is_anybodys_at_once(log: StreamLog) -> None:
    sid, claim = await opened(log, lease_s=ALIVE_S)
    assert sid not in await log.expired(10_000)
    await log.release(sid, epoch=claim.epoch)
    assert sid in await log.expired(10_000)
    assert (await log.head(sid)).lease_left_s <= 0
    assert (await log.claim(sid, holder="b", lease_s=ALIVE_S, seen_epoch=claim.epoch)).epoch == claim.epoch + 1
    await log.release(sid, epoch=claim.epoch)  # a late release of an older epoch changes nothing
    assert sid not in await log.expired(10_000)


async def test_an_append_renews_the_lease(log: StreamLog) -> None:
    sid, claim = await opened(log, ALIVE_S)
    before = (await log.head(sid)).lease_left_s
    await log.append(sid, epoch=claim.epoch, seq=0, payloads=[b"0"])
    assert ALIVE_S >= (await log.head(sid)).lease_left_s > before - 1


async def test_a_repeated_append_is_a_duplicate_also_after_the_end(log: StreamLog) -> None:
    sid, claim = await opened(log)
    first = await log.append(sid, epoch=claim.epoch, seq=0, payloads=[b"end"], end=True)
    again = await log.append(sid, epoch=claim.epoch, seq=0, payloads=[b"end"], end=True)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert await payloads(log, sid) == [b"end"]


async def test_a_gap_names_the_end_of_the_log(log: StreamLog) -> None:
    sid, claim = await opened(log)
    await log.append(sid, epoch=claim.epoch, seq=0, payloads=[b"0"])
    with pytest.raises(LogGapError) as gap:
        await log.append(sid, epoch=claim.epoch, seq=2, payloads=[b"2"])
    assert gap.value.next_seq == 1


async def test_nothing_follows_a_cancel_however_it_races_with_appends(log: StreamLog) -> None:
    sid, claim = await opened(log)

    async def write() -> int:
        for seq in range(1000):
            await log.append(sid, epoch=claim.epoch, seq=seq, payloads=[b"token"])
            await asyncio.sleep(0)
        return seq

    async def cancel() -> int:
        while (await log.head(sid)).next_seq < 5:
            await asyncio.sleep(0)
        return await log.cancel(sid, payload=CANCEL)

    fenced, last_seq = await asyncio.gather(write(), cancel(), return_exceptions=True)
    assert isinstance(fenced, FencedError)
    assert last_seq == await log.cancel(sid, payload=CANCEL)
    stored = await payloads(log, sid)
    assert stored == [b"token"] * (len(stored) - 1) + [CANCEL]
    assert len(stored) - 1 == last_seq
    assert (await log.head(sid)).status == "cancelled"


async def test_of_two_ends_at_the_same_time_one_is_stored(log: StreamLog) -> None:
    sid, claim = await opened(log)
    ends = [log.append(sid, epoch=claim.epoch, seq=0, payloads=[f"end {n}".encode()], end=True) for n in range(5)]
    results = await asyncio.gather(*ends, return_exceptions=True)
    assert sum(isinstance(result, FencedError) for result in results) == 4
    assert len(await payloads(log, sid)) == 1


# Who may read, and what ----------------------------------------------------------------------------------------


async def test_what_was_given_to_create_is_kept(log: StreamLog) -> None:
    sid, _ = await opened(log)
    assert (await log.head(sid)).owner == "key-1"
    assert await log.request(sid) == b"request"
    with pytest.raises(ConflictError):
        await log.create(sid, owner="key-2", request=b"other")


@pytest.mark.parametrize("call", ["claim", "append", "renew", "cancel", "head", "request", "read", "trim"])
async def test_an_unknown_stream_is_not_found(log: StreamLog, call: str) -> None:
    sid = new_id()
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "claim": lambda: log.claim(sid, holder="a", lease_s=1, seen_epoch=0),
        "append": lambda: log.append(sid, epoch=1, seq=0, payloads=[b""]),
        "renew": lambda: log.renew(sid, epoch=1),
        "cancel": lambda: log.cancel(sid, payload=CANCEL),
        "head": lambda: log.head(sid),
        "request": lambda: log.request(sid),
        "read": lambda: log.read(sid, after=-1),
        "trim": lambda: log.trim(sid),
    }
    with pytest.raises(StreamNotFoundError):
        await calls[call]()


async def test_a_cursor_at_the_end_waits_and_one_beyond_it_is_ahead(log: StreamLog) -> None:
    sid, claim = await opened(log)
    await log.append(sid, epoch=claim.epoch, seq=0, payloads=[b"0"])
    assert await log.read(sid, after=0) == []
    with pytest.raises(CursorAheadError):
        await log.read(sid, after=1)


async def test_a_trimmed_stream_keeps_its_id_and_head_but_no_entries(log: StreamLog) -> None:
    sid, claim = await opened(log)
    with pytest.raises(ConflictError):
        await log.trim(sid)
    await log.append(sid, epoch=claim.epoch, seq=0, payloads=[b"0"])
    await log.append(sid, epoch=claim.epoch, seq=1, payloads=[b"end"], end=True)
    await log.trim(sid)
    await log.trim(sid)
    head = await log.head(sid)
    assert (head.status, head.next_seq, head.first_seq) == ("done", 2, 2)
    assert await log.read(sid, after=1) == []
    with pytest.raises(CursorTrimmedError):
        await log.read(sid, after=0)
    with pytest.raises(ConflictError):
        await log.create(sid, owner="key-1", request=b"again")


async def test_a_watch_wakes_at_once_and_after_every_change(log: StreamLog) -> None:
    sid, claim = await opened(log)
    watch = log.watch(sid)
    await anext(watch)
    seen = -1
    for seq in range(5):
        await log.append(sid, epoch=claim.epoch, seq=seq, payloads=[b"%d" % seq])
        while seen < seq:
            await asyncio.wait_for(anext(watch), 5)
            seen += len(await log.read(sid, after=seen))
    assert seen == 4


async def test_expired_names_open_streams_without_a_living_lease(log: StreamLog) -> None:
    dead, _ = await opened(log, EXPIRED_S)
    alive, _ = await opened(log, ALIVE_S)
    over, claim = await opened(log, EXPIRED_S)
    await log.append(over, epoch=claim.epoch, seq=0, payloads=[b"end"], end=True)
    fresh = new_id()
    await log.create(fresh, owner="key-1", request=b"")
    found = await log.expired(10_000)
    assert dead in found
    assert not {alive, over, fresh} & set(found)
