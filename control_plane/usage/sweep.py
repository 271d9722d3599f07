"""The sweep: reservations whose gateway died are settled by the facts in the log, charges reach the ledger in the end.

A stream that ended is charged; one that is open is left alone; one that was never opened is given back, after its id
was used up, so that a gateway which slept meanwhile cannot open it any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from control_plane.usage.charges import Charge, Used, used_in
from control_plane.usage.counters import SHARDS, Counters, Due
from control_plane.usage.ledger import Ledger
from control_plane.usage.service import Meter
from edgewise.api.host import Caller
from edgewise.api.intake import Snapshot
from edgewise.streams.entries import CancelEntry, encode_entry
from edgewise.streams.log import Record, StreamLog
from edgewise.wire.errors import ConflictError, EdgewiseError, LogUnavailableError, StreamNotFoundError

logger = logging.getLogger(__name__)
EVERY_S = 1.0
SWEEP_EVERY = 5
UNOPENED_MS = 30_000
PAGE = 100

_snapshots = msgspec.msgpack.Decoder(Snapshot)


class UsageReader:
    """What a stream's log knows of its use. Raises LogUnavailableError, StreamNotFoundError."""

    def __init__(self, log: StreamLog) -> None:
        self._log = log

    async def exists(self, sid: str) -> bool:
        """Whether there is such a stream."""
        try:
            await self._log.head(sid)
        except StreamNotFoundError:
            return False
        return True

    async def find(self, sid: str) -> tuple[Caller, str, Used]:
        """Who asked, for which model, and what was used."""
        raw = await self._log.request(sid)
        try:
            snapshot = _snapshots.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LogUnavailableError(f"The request of stream {sid} cannot be read") from error
        state = snapshot.state
        records = await self._records(sid)
        used = used_in(records, prompt_tokens=len(state.prompt_ids), max_tokens=state.max_tokens)
        return snapshot.caller, snapshot.header.model, used

    async def _records(self, sid: str) -> list[Record]:
        records: list[Record] = []
        while page := await self._log.read(sid, after=len(records) - 1):
            records += page
        return records


class Sweep:
    """Runs in every gateway until cancelled; the counters give each reservation to one of them at a time."""

    def __init__(
        self,
        counters: Counters,
        meter: Meter,
        ledger: Ledger,
        log: StreamLog,
        *,
        unopened_ms: int = UNOPENED_MS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._counters = counters
        self._meter = meter
        self._ledger = ledger
        self._log = log
        self._reader = UsageReader(log)
        self._unopened_ms = unopened_ms
        self._sleep = sleep

    async def run(self) -> None:
        """Look again and again; servers that are away are waited for."""
        turn = 0
        while True:
            try:
                await self._meter.restore_lost()
                if turn % SWEEP_EVERY == 0:
                    await self.sweep()
            except EdgewiseError as error:
                logger.warning("reservations cannot be looked after: %s", error)
            turn += 1
            await self._sleep(EVERY_S)

    async def sweep(self) -> int:
        """See to everything that is due; returns how many were."""
        count = 0
        for shard in range(SHARDS):
            while due := await self._counters.due(shard, PAGE):
                for each in due:
                    await self._see_to(each)
                count += len(due)
        return count

    async def _see_to(self, due: Due) -> None:
        """One that cannot be settled never stops the others."""
        try:
            if due.state == "settled":
                self._ledger.add(msgspec.msgpack.decode(due.charge, type=Charge))
            else:
                await self._judge(due)
        except (EdgewiseError, msgspec.DecodeError) as error:
            logger.warning("a reservation waits: %s", error, extra={"stream": due.sid})

    async def _judge(self, due: Due) -> None:
        try:
            head = await self._log.head(due.sid)
        except StreamNotFoundError:
            if due.age_ms >= self._unopened_ms:
                await self._give_back(due)
            return
        if head.status == "open":
            return
        try:
            if not await self._log.request(due.sid):  # a sweep's own mark: it died before it gave this back
                await self._counters.release(due.sid, due.owner.shard)
                return
            caller, model, used = await self._reader.find(due.sid)
        except StreamNotFoundError:
            await self._meter.settle(_worst(due))
            return
        await self._meter.settle_found(due.sid, due.day, caller, model, used)

    async def _give_back(self, due: Due) -> None:
        try:
            await self._log.create(due.sid, owner=due.owner.key.partition(":")[2], request=b"")
        except ConflictError:
            return  # it was opened just now
        await self._log.cancel(due.sid, payload=encode_entry(CancelEntry("sweep")))
        await self._counters.release(due.sid, due.owner.shard)


def _worst(due: Due) -> Charge:
    """What was reserved, for an ended stream that nobody can read any more."""
    return Charge(
        sid=due.sid,
        key_id=due.owner.key.partition(":")[2],
        tenant=due.owner.tenant.partition(":")[2],
        day=due.day,
        prompt_tokens=due.tokens,
        cost_micros=due.cost,
        counted=True,
    )
