"""What only the SQLite log does: its file, its time to live, a full disk, a damaged file."""

from __future__ import annotations

import asyncio
import stat
import threading
from pathlib import Path

import pytest

from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.wire.errors import CursorTrimmedError, LogUnavailableError, StreamNotFoundError
from tests.factories.clock import ManualClock, settle


async def opened(log: SqliteStreamLog, sid: str = "s") -> str:
    await log.create(sid, owner="k", request=b"r")
    await log.claim(sid, holder="a", lease_s=10, seen_epoch=0)
    return sid


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteStreamLog(tmp_path / "new" / "log.db", clock)
    sid = await opened(log)
    await log.append(sid, epoch=1, seq=0, payloads=[b"\x00"])
    head, records = await log.head(sid), await log.read(sid, after=-1)
    await log.aclose()
    log = SqliteStreamLog(tmp_path / "new" / "log.db", clock)
    assert (await log.head(sid), await log.read(sid, after=-1)) == (head, records)
    await log.aclose()


async def test_the_file_is_for_this_user_only(tmp_path: Path) -> None:
    log = SqliteStreamLog(tmp_path / "log.db")
    await opened(log)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    await log.aclose()


async def test_a_lease_runs_out_by_the_clock(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteStreamLog(tmp_path / "log.db", clock)
    sid = await opened(log)
    clock.now += 6
    await log.renew(sid, epoch=1)
    clock.now += 6
    assert await log.expired() == []
    assert (await log.head(sid)).lease_left_s == 4
    clock.now += 4
    assert await log.expired() == [sid]
    assert (await log.claim(sid, holder="b", lease_s=10, seen_epoch=1)).epoch == 2
    await log.aclose()


async def test_an_unclaimed_stream_is_left_to_its_maker_for_a_moment(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteStreamLog(tmp_path / "log.db", clock)
    await log.create("s", owner="k", request=b"")
    assert await log.expired() == []
    clock.now += 5
    assert await log.expired() == ["s"]
    await log.aclose()


async def test_ended_streams_are_forgotten_after_their_time_and_open_ones_never(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteStreamLog(tmp_path / "log.db", clock, ttl_s=100, tombstone_s=1000)
    done, still = await opened(log, "done"), await opened(log, "open")
    for sid, end in ((done, True), (still, False)):
        await log.append(sid, epoch=1, seq=0, payloads=[b"x"], end=end)
    clock.now += 101
    await opened(log, "next")
    with pytest.raises(CursorTrimmedError):
        await log.read(done, after=-1)
    assert len(await log.read(still, after=-1)) == 1
    clock.now += 1000
    await opened(log, "last")
    with pytest.raises(StreamNotFoundError):
        await log.head(done)
    assert len(await log.read(still, after=-1)) == 1
    await log.aclose()


async def test_an_idle_device_forgets_too(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteStreamLog(tmp_path / "log.db", clock, ttl_s=100, tombstone_s=1000)
    sids = [await opened(log, f"s{n}") for n in range(15)]
    for sid in sids:
        await log.append(sid, epoch=1, seq=0, payloads=[b"what was said"], end=True)
    await log.expired()
    clock.now += 101
    for left in (5, 0):
        await log.expired()
        assert log._db.execute("SELECT count(*) FROM streams WHERE request IS NOT NULL").fetchone() == (left,)
    assert log._db.execute("SELECT count(*) FROM entries").fetchone() == (0,)
    clock.now += 1000
    await log.expired()
    with pytest.raises(StreamNotFoundError):
        await log.head(sids[0])
    await log.aclose()


async def test_a_clock_that_was_set_back_does_not_keep_what_is_old(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteStreamLog(tmp_path / "log.db", clock, ttl_s=100)
    sid = await opened(log)
    clock.now += 1e6
    await log.expired()
    clock.now -= 1e6
    await log.append(sid, epoch=1, seq=0, payloads=[b"x"], end=True)
    clock.now += 161
    await log.expired()
    with pytest.raises(CursorTrimmedError):
        await log.read(sid, after=-1)
    await log.aclose()


async def test_a_full_disk_is_told_and_nothing_half_written_stays(tmp_path: Path) -> None:
    log = SqliteStreamLog(tmp_path / "log.db")
    sid = await opened(log)
    pages = log._db.execute("PRAGMA page_count").fetchone()[0]
    log._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(LogUnavailableError, match="free disk space"):
        await log.append(sid, epoch=1, seq=0, payloads=[b"x" * 100_000])
    log._db.execute("PRAGMA max_page_count = 100000")
    assert (await log.append(sid, epoch=1, seq=0, payloads=[b"y"])).next_seq == 1
    await log.aclose()


async def test_a_damaged_file_or_folder_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(LogUnavailableError, match="move it away"):
        SqliteStreamLog(path)
    with pytest.raises(LogUnavailableError):
        SqliteStreamLog(path / "below-a-file.db")


async def test_an_append_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    log = SqliteStreamLog(tmp_path / "log.db")
    sid = await opened(log)
    log._db.execute(
        "CREATE TRIGGER full BEFORE UPDATE OF next_seq ON streams BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    )
    with pytest.raises(LogUnavailableError):
        await log.append(sid, epoch=1, seq=0, payloads=[b"x"])
    log._db.execute("DROP TRIGGER full")
    assert await log.read(sid, after=-1) == []
    assert (await log.append(sid, epoch=1, seq=0, payloads=[b"y"])).next_seq == 1
    await log.aclose()


class BlockingClock(ManualClock):
    """Stops other threads at the time of day until `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self) -> float:
        if threading.current_thread() is not threading.main_thread():
            self.reached.set()
            self.go.wait(10)
        return super().__call__()


async def test_a_caller_that_is_cancelled_leaves_its_transaction_to_finish(tmp_path: Path) -> None:
    clock = BlockingClock()
    clock.go.set()
    log = SqliteStreamLog(tmp_path / "log.db", clock)
    one, other = await opened(log, "one"), await opened(log, "other")
    clock.go.clear()
    clock.reached.clear()
    ending = asyncio.create_task(log.append(one, epoch=1, seq=0, payloads=[b"end"], end=True))
    await asyncio.to_thread(clock.reached.wait, 10)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    going_on = asyncio.create_task(log.append(other, epoch=1, seq=0, payloads=[b"x"]))
    await settle()
    clock.go.set()
    assert (await going_on).next_seq == 1
    assert (await log.head(one)).status == "done"
    await log.aclose()
