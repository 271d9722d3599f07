"""Ended streams live on in SQL: sealing them there, and reading them back as if they were still in the token log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from control_plane.decisions.sealed import Finished, SealedStreams, encode_records, summarize
from edgewise.streams.log import Appended, Claim, Head, Record, StreamLog, StreamStatus
from edgewise.streams.refusals import ahead
from edgewise.wire.errors import ConflictError, CursorTrimmedError, EdgewiseError, FencedError, StreamNotFoundError

logger = logging.getLogger(__name__)
RETRY_S = 1.0
SEALING_MAX = 32
"""Streams that one process seals at a time: while the database is away, more of them would only ask in vain."""
READ_LIMIT = 1000


class ArchivedLog:
    """A StreamLog whose readers fall back to sealed streams; writing is the live log's business alone."""

    def __init__(self, live: StreamLog, sealed: SealedStreams) -> None:
        self._live = live
        self._sealed = sealed

    async def create(self, sid: str, *, owner: str, request: bytes) -> None:
        await self._live.create(sid, owner=owner, request=request)

    async def open(self, sid: str, *, owner: str, request: bytes, holder: str, lease_s: float) -> Claim:
        return await self._live.open(sid, owner=owner, request=request, holder=holder, lease_s=lease_s)

    async def claim(self, sid: str, *, holder: str, lease_s: float, seen_epoch: int) -> Claim:
        return await self._live.claim(sid, holder=holder, lease_s=lease_s, seen_epoch=seen_epoch)

    async def append(self, sid: str, *, epoch: int, seq: int, payloads: Sequence[bytes], end: bool = False) -> Appended:
        return await self._live.append(sid, epoch=epoch, seq=seq, payloads=payloads, end=end)

    async def renew(self, sid: str, *, epoch: int) -> None:
        await self._live.renew(sid, epoch=epoch)

    async def release(self, sid: str, *, epoch: int) -> None:
        await self._live.release(sid, epoch=epoch)

    async def cancel(self, sid: str, *, payload: bytes) -> int:
        """A sealed stream has ended, so cancelling it changes nothing."""
        try:
            return await self._live.cancel(sid, payload=payload)
        except StreamNotFoundError:
            return len((await self._sealed.get(sid)).records) - 1

    async def head(self, sid: str) -> Head:
        try:
            return await self._live.head(sid)
        except StreamNotFoundError:
            found = await self._sealed.get(sid)
            status: StreamStatus = "cancelled" if found.status == "cancelled" else "done"
            return Head(status, found.records[-1].epoch, len(found.records), 0, found.owner, "", 0.0)

    async def request(self, sid: str) -> bytes:
        try:
            return await self._live.request(sid)
        except StreamNotFoundError:
            return (await self._sealed.get(sid)).request

    async def read(self, sid: str, *, after: int, limit: int = READ_LIMIT) -> list[Record]:
        try:
            return await self._live.read(sid, after=after, limit=limit)
        except (StreamNotFoundError, CursorTrimmedError):
            records = (await self._sealed.get(sid)).records
            if after >= len(records):
                raise ahead(sid, after, len(records)) from None
            return records[after + 1 : after + 1 + limit]

    def watch(self, sid: str) -> AsyncIterator[None]:
        return self._live.watch(sid)

    async def expired(self, limit: int = 100) -> list[str]:
        return await self._live.expired(limit)

    async def trim(self, sid: str) -> None:
        await self._live.trim(sid)


class Sealer:
    """Copies ended streams to SQL in the background, trying again until it worked; the live copy expires by its TTL.
    What a crash keeps it from is made up for by the job `seal_and_trim`. `on_sealed` is told of each copy."""

    def __init__(
        self,
        live: StreamLog,
        sealed: SealedStreams,
        *,
        on_sealed: Callable[[str], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._live = live
        self._on_sealed = on_sealed
        self._sealed = sealed
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()

    def seal_soon(self, sid: str) -> None:
        """Start sealing a stream that has just ended. Where too many wait already, it is left to the job."""
        if len(self._tasks) >= SEALING_MAX:
            return
        task = asyncio.create_task(self._seal_until_done(sid), name=f"seal-{sid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, timeout_s: float) -> None:
        """Give running work `timeout_s` to end; what is left over stays in the live log until its TTL."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _seal_until_done(self, sid: str) -> None:
        while True:
            try:
                if not await self._seal_if_ended(sid):
                    logger.info("stream is still open, its writer's end will seal it", extra={"stream": sid})
            except (StreamNotFoundError, CursorTrimmedError, ConflictError, FencedError) as error:
                logger.error("stream cannot be sealed: %s", error, extra={"stream": sid})
            except EdgewiseError as error:
                logger.warning("sealing waits: %s", error, extra={"stream": sid})
                await self._sleep(RETRY_S)
                continue
            except Exception as error:  # noqa: BLE001 (its words may hold what was said)
                logger.error("stream cannot be sealed: %s", type(error).__name__, extra={"stream": sid})
            return

    async def seal(self, sid: str) -> None:
        """Copy one ended stream. Raises ConflictError while it is open."""
        if not await self._seal_if_ended(sid):
            raise ConflictError(f"The stream {sid} has not ended")

    async def seal_all(self, sids: Sequence[str]) -> set[str]:
        """Copy ended streams in one transaction; those that cannot be copied are told in the log and returned. One that
        is gone by now is none of them: nothing is left to do for it. Raises DatabaseUnavailableError."""
        copies = await asyncio.gather(*(self._finished(sid) for sid in sids), return_exceptions=True)
        failed, finished = set[str](), list[Finished]()
        for sid, copy in zip(sids, copies, strict=True):
            if isinstance(copy, Finished):
                finished.append(copy)
            elif isinstance(copy, StreamNotFoundError | CursorTrimmedError):
                logger.error("an ended stream was gone before it was sealed: %s", copy, extra={"stream": sid})
            elif isinstance(copy, EdgewiseError):
                logger.error("an ended stream cannot be sealed: %s", copy, extra={"stream": sid})
                failed.add(sid)
            elif isinstance(copy, BaseException):
                raise copy
            else:
                failed.add(sid)  # open again it cannot be: the index was wrong, and is looked at the next time
        return failed | (await self._sealed.seal_many(finished) if finished else set())

    async def _seal_if_ended(self, sid: str) -> bool:
        finished = await self._finished(sid)
        if finished is None:
            return False
        await self._sealed.seal(sid, finished.owner, finished.records, finished.status, request=finished.request)
        if self._on_sealed is not None:
            await self._on_sealed(sid)
        return True

    async def _finished(self, sid: str) -> Finished | None:
        """A stream as it is sealed; None while it is open. Raises LogUnavailableError when an entry does not decode."""
        head = await self._live.head(sid)
        if head.status == "open":
            return None
        records: list[Record] = []
        while len(records) < head.next_seq:
            records += await self._live.read(sid, after=len(records) - 1, limit=READ_LIMIT)
        summarize(records)
        return Finished(sid, head.owner, encode_records(records), head.status, await self._live.request(sid))
