"""Streams leave one log and enter another as they were: entries, epochs, owner; and go on there."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.backup.live_streams import SavedStream, decode_stream, put_back, save_streams
from edgewise.streams.log import Record, StreamLog
from edgewise.streams.memory import MemoryStreamLog
from edgewise.streams.sqlite_log import SqliteStreamLog

SID = "0" * 25 + "1"


async def ids(*sids: str) -> AsyncIterator[str]:
    for sid in sids:
        yield sid


async def saved(log: StreamLog, sid: str = SID) -> SavedStream:
    file = io.BytesIO()
    assert await save_streams(log, ids(sid), file) == 1
    return decode_stream(file.getvalue())


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteStreamLog]:
    opened = SqliteStreamLog(tmp_path / "log.db")
    yield opened
    await opened.aclose()


async def test_an_open_stream_goes_on_in_another_log(log: SqliteStreamLog) -> None:
    old = MemoryStreamLog()
    await old.create(SID, owner="key-1", request=b"\xff\0")
    for epoch in range(1, 4):
        claim = await old.claim(SID, holder="a", lease_s=0.0, seen_epoch=epoch - 1)
        if epoch != 2:
            head = await old.head(SID)
            await old.append(SID, epoch=claim.epoch, seq=head.next_seq, payloads=[b"\xc3", b""])
    found = await saved(old)
    assert await put_back(log, found)
    assert not await put_back(log, found)
    assert await saved(log) == found
    assert [record.epoch for record in found.records] == [1, 1, 3, 3]
    claim = await log.claim(SID, holder="b", lease_s=60.0, seen_epoch=3)
    assert (claim.epoch, claim.next_seq) == (4, 4)


async def test_a_stream_nobody_wrote_comes_too(log: SqliteStreamLog) -> None:
    old = MemoryStreamLog()
    await old.create(SID, owner="k", request=b"r")
    assert await put_back(log, await saved(old))
    assert (await log.head(SID)).epoch == 0


async def test_one_that_is_gone_is_left_out() -> None:
    assert await save_streams(MemoryStreamLog(), ids(SID), io.BytesIO()) == 0


GOOD = SavedStream(SID, "k", "open", b"r", [Record(0, 1, b"a"), Record(1, 2, b"b")])


@pytest.mark.parametrize(
    "changes",
    [
        {"records": [Record(1, 1, b"a")]},
        {"records": [Record(0, 2, b"a"), Record(1, 1, b"b")]},
        {"records": [Record(0, 0, b"a")]},
        {"records": [Record(0, 10**9, b"a")]},
        {"records": [], "status": "done"},
        {"status": "odd"},
    ],
)
def test_a_stream_that_cannot_be_is_told(changes: dict[str, object]) -> None:
    line = msgspec.json.encode(msgspec.to_builtins(GOOD) | msgspec.to_builtins(changes))
    with pytest.raises(ValueError):
        decode_stream(line)


@given(line=st.binary(max_size=100))
def test_other_bytes_are_told(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode_stream(line)
