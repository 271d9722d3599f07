"""Ended streams in SQL: once the log has forgotten them they read as before, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio import Redis
from sqlalchemy.exc import DataError

from control_plane.database import Database
from control_plane.decisions.sealed import SealedStreams
from control_plane.errors import DatabaseUnavailableError
from control_plane.streams.archive import SEALING_MAX, ArchivedLog, Sealer
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.api.chat import render_frames
from edgewise.dialects.render import AnswerHeader, ChatRenderer, CompletionBuilder
from edgewise.ids import new_id
from edgewise.local.valkey import ValkeyProcess
from edgewise.streams.entries import CancelEntry, EndEntry, Entry, TierEntry, TokensEntry, encode_entry
from edgewise.streams.log import Head, Record
from edgewise.streams.tailer import TailerHub
from edgewise.wire.errors import ConflictError, CursorAheadError, StreamNotFoundError

SAID: tuple[Entry, ...] = (
    TierEntry("edge:phone", "edge", "small", "v1", "won"),
    TokensEntry(0, (5, 6), "你"),
    TokensEntry(2, (7,), "好\0, nul \ufffd \u2028 🦆"),
)
END = EndEntry("stop", 3, 3)
SNAPSHOT = b"a request \0\xff\xfe that is no text"
Forget = Callable[[str], Awaitable[None]]


class Log:
    """A log on the test session's server, what is sealed beside it, and the archive over both."""

    def __init__(self, client: Redis, database: Database) -> None:
        self.client = client
        self.live = ValkeyStreamLog(client)
        self.sealed = SealedStreams(database)
        self.archive = ArchivedLog(self.live, self.sealed)
        self.sealer = Sealer(self.live, self.sealed)

    async def begun(self, *entries: Entry) -> str:
        """An open stream that holds these entries."""
        sid = new_id()
        await self.archive.create(sid, owner="key-1", request=SNAPSHOT)
        await self.archive.claim(sid, holder="a", lease_s=60.0, seen_epoch=0)
        for seq, entry in enumerate(entries):
            await self.archive.append(sid, epoch=1, seq=seq, payloads=[encode_entry(entry)])
        return sid

    async def ended(self) -> str:
        sid = await self.begun(*SAID)
        await self.archive.append(sid, epoch=1, seq=len(SAID), payloads=[encode_entry(END)], end=True)
        return sid

    async def trimmed(self, sid: str) -> None:
        """The entries were trimmed after sealing: only the tombstone is left."""
        await self.live.trim(sid)

    async def expired(self, sid: str) -> None:
        """Everything is gone, as after the tombstone's time or on a new server."""
        for key in await self.client.keys(f"ew:*:*:{sid}"):
            await self.client.delete(key)


@pytest.fixture
async def log(valkey_server: ValkeyProcess, database: Database) -> AsyncIterator[Log]:
    client = connect(valkey_server.url)
    log = Log(client, database)
    yield log
    await log.live.aclose()
    await client.aclose()


@pytest.fixture(params=["trimmed", "expired"])
def forget(request: pytest.FixtureRequest, log: Log) -> Forget:
    found: Forget = getattr(log, request.param)
    return found


def standing(head: Head) -> tuple[object, ...]:
    """What a reader goes by; where the entries lie and who held the lease is over with the stream."""
    return head.status, head.epoch, head.next_seq, head.owner


def header(sid: str) -> AnswerHeader:
    return AnswerHeader(
        sid=sid, created=1, model="edgewise", include_usage=True, mode="edge", rule="r", reason="为什么", policy="p"
    )


async def rendered(archive: ArchivedLog, sid: str, after: int = -1) -> tuple[bytes, bytes]:
    """Everything that a streaming client and one that waits for the whole answer would get."""
    builder = CompletionBuilder(header(sid))
    async for record in TailerHub(archive).follow(sid, -1):
        builder.add(record)
    frames = render_frames(TailerHub(archive).follow(sid, -1), ChatRenderer(header(sid)), after)
    return b"".join([frame async for frame in frames]), builder.body()


async def test_what_the_log_forgot_reads_as_before(log: Log, forget: Forget) -> None:
    sid = await log.ended()
    before = await log.archive.read(sid, after=-1)
    head, bytes_before = await log.archive.head(sid), await rendered(log.archive, sid)
    await log.sealer.seal(sid)
    await forget(sid)
    assert standing(await log.archive.head(sid)) == standing(head) == ("done", 1, 4, "key-1")
    assert await log.archive.request(sid) == SNAPSHOT
    assert await log.archive.read(sid, after=-1) == before
    assert await rendered(log.archive, sid) == bytes_before
    assert "你好" in bytes_before[1].decode()


async def test_every_cursor_and_page_reads_as_before(log: Log, forget: Forget) -> None:
    sid = await log.ended()
    pages = [(after, limit) for after in range(-1, 4) for limit in (1, 2, 1000)]
    before = [await log.archive.read(sid, after=after, limit=limit) for after, limit in pages]
    resumed = [await rendered(log.archive, sid, after) for after in range(-1, 4)]
    await log.sealer.seal(sid)
    await forget(sid)
    assert [await log.archive.read(sid, after=after, limit=limit) for after, limit in pages] == before
    assert [await rendered(log.archive, sid, after) for after in range(-1, 4)] == resumed
    with pytest.raises(CursorAheadError):
        await log.archive.read(sid, after=4)


async def test_cancelling_what_has_ended_changes_nothing(log: Log, forget: Forget) -> None:
    sid = await log.ended()
    payload = encode_entry(CancelEntry("client"))
    last = await log.archive.cancel(sid, payload=payload)
    await log.sealer.seal(sid)
    await forget(sid)
    assert await log.archive.cancel(sid, payload=payload) == last == 3
    assert (await log.archive.head(sid)).status == "done"


async def test_a_cancelled_stream_stays_cancelled(log: Log, forget: Forget) -> None:
    sid = await log.begun(*SAID)
    await log.archive.cancel(sid, payload=encode_entry(CancelEntry("client")))
    head, before = await log.archive.head(sid), await rendered(log.archive, sid)
    await log.sealer.seal(sid)
    await forget(sid)
    assert standing(await log.archive.head(sid)) == standing(head) == ("cancelled", 2, 4, "key-1")
    assert await rendered(log.archive, sid) == before


async def test_a_long_stream_is_sealed_whole(log: Log) -> None:
    sid = await log.begun()
    appends = [encode_entry(TokensEntry(n, (n,), "x")) for n in range(1500)]
    await asyncio.gather(
        *(log.live.append(sid, epoch=1, seq=seq, payloads=[payload]) for seq, payload in enumerate(appends))
    )
    await log.live.append(sid, epoch=1, seq=1500, payloads=[encode_entry(END)], end=True)
    await log.sealer.seal(sid)
    assert (await log.sealed.get(sid)).records == [
        *(Record(seq, 1, payload) for seq, payload in enumerate(appends)),
        Record(1500, 1, encode_entry(END)),
    ]


async def test_an_open_stream_is_not_sealed(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    sid = await log.begun(*SAID)
    with pytest.raises(ConflictError, match="not ended"):
        await log.sealer.seal(sid)
    log.sealer.seal_soon(sid)
    await log.sealer.settle(5.0)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    with pytest.raises(StreamNotFoundError):
        await log.sealed.get(sid)


class Choosy(SealedStreams):
    """A database that refuses what it is given, and says what that was."""

    async def seal(self, sid: str, owner: str, records: bytes, status: str, *, request: bytes = b"") -> None:
        raise DataError("INSERT", {}, ValueError("invalid input: 'my secret prompt'"))


async def test_data_that_sql_refuses_is_told_without_its_content(
    log: Log, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    sid = await log.ended()
    sealer = Sealer(log.live, Choosy(database))
    sealer.seal_soon(sid)
    (task,) = sealer._tasks
    await sealer.settle(5.0)
    assert task.exception() is None
    assert "cannot be sealed: DataError" in caplog.text and "secret" not in caplog.text


async def test_what_nobody_knows_is_not_found(log: Log) -> None:
    for sid in (new_id(), "x", ""):
        for asking in (log.archive.head, log.archive.request):
            with pytest.raises(StreamNotFoundError):
                await asking(sid)
        with pytest.raises(StreamNotFoundError):
            await log.archive.read(sid, after=-1)
        with pytest.raises(StreamNotFoundError):
            await log.archive.cancel(sid, payload=b"")


class AwayAtFirst(SealedStreams):
    """A database that is away for the first `left` attempts."""

    def __init__(self, database: Database, left: int) -> None:
        super().__init__(database)
        self.left = left

    async def seal(self, sid: str, owner: str, records: bytes, status: str, *, request: bytes = b"") -> None:
        if self.left:
            self.left -= 1
            raise DatabaseUnavailableError("gone")
        await super().seal(sid, owner, records, status, request=request)


async def test_sealing_waits_while_the_database_is_away(log: Log, database: Database) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    sid = await log.ended()
    sealer = Sealer(log.live, AwayAtFirst(database, 3), sleep=sleep)
    sealer.seal_soon(sid)
    await sealer.settle(5.0)
    assert len(slept) == 3 and all(slept)
    assert (await log.sealed.get(sid)).request == SNAPSHOT


async def test_a_stream_that_was_forgotten_before_it_was_sealed_is_given_up(
    log: Log, forget: Forget, caplog: pytest.LogCaptureFixture
) -> None:
    async def sleep(_seconds: float) -> None:
        raise AssertionError("it will never come back")

    sid = await log.ended()
    await forget(sid)
    sealer = Sealer(log.live, log.sealed, sleep=sleep)
    sealer.seal_soon(sid)
    await sealer.settle(5.0)
    assert "cannot be sealed" in caplog.text and "never come back" not in caplog.text


async def test_settling_leaves_what_waits_to_the_log(log: Log, database: Database) -> None:
    async def sleep(_seconds: float) -> None:
        await asyncio.Event().wait()

    sid = await log.ended()
    sealer = Sealer(log.live, AwayAtFirst(database, 9), sleep=sleep)
    sealer.seal_soon(sid)
    await sealer.settle(0.0)
    assert (await log.archive.head(sid)).status == "done"
    with pytest.raises(StreamNotFoundError):
        await log.sealed.get(sid)


async def test_a_long_absence_of_the_database_piles_nothing_up(log: Log, database: Database) -> None:
    asleep = 0

    async def sleep(_seconds: float) -> None:
        nonlocal asleep
        asleep += 1
        await asyncio.Event().wait()

    sid = await log.ended()
    sealer = Sealer(log.live, AwayAtFirst(database, 10 * SEALING_MAX), sleep=sleep)
    for _ in range(3 * SEALING_MAX):
        sealer.seal_soon(sid)
    while asleep < SEALING_MAX:
        await asyncio.sleep(0.001)
    await sealer.settle(0.0)
    assert asleep == SEALING_MAX
