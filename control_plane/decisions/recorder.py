"""DecisionRecorder: takes events without waiting, writes them to SQL in batches, off the token path.

Nothing is lost in silence: when the queue is full or the database is gone, events go to the spill file and come back
from there; only when that cannot be written either are they dropped, counted and logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import islice

from sqlalchemy.exc import StatementError

from control_plane.database import Database
from control_plane.decisions.batch import write_batch
from control_plane.decisions.records import Decided, Event, Finished
from control_plane.decisions.spill import SpillFile
from edgewise.ending import end
from edgewise.wire.errors import EdgewiseError

log = logging.getLogger(__name__)

QUEUE_MAX = 10_000
BATCH_MAX = 2_000
GATHER_S = 0.5
"""A crash forgets the decisions of this long; in return, under load, hundreds of rows share a transaction."""
RETRY_S = 1.0


@dataclass(frozen=True)
class RecorderStats:
    """Counts of events since the start; `queued` is now."""

    queued: int = 0
    written: int = 0
    spilled: int = 0
    dropped: int = 0
    orphans: int = 0


class DecisionRecorder:
    """A bounded queue before SQL. `decided` and `finished` never wait and never raise."""

    def __init__(
        self,
        database: Database,
        spill: SpillFile,
        *,
        queue_max: int = QUEUE_MAX,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._spill = spill
        self._queue_max = queue_max
        self._sleep = sleep
        self._queue: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._spilling = bool(spill)
        self._task: asyncio.Task[None] | None = None
        self._stats = RecorderStats()

    @property
    def stats(self) -> RecorderStats:
        """Counts for metrics and the readiness page."""
        return replace(self._stats, queued=len(self._queue))

    def decided(self, event: Decided) -> None:
        """At admission: remember a decision."""
        self._take(event)

    def finished(self, event: Finished) -> None:
        """At the end: remember how the answer ended."""
        self._take(event)

    async def start(self) -> None:
        """Begin writing; what an earlier run left in the spill file is written first."""
        self._task = asyncio.create_task(self._run(), name="decision-recorder")

    async def stop(self) -> None:
        """Write what is queued, or spill it when the database is gone."""
        if self._task is not None:
            await end(self._task)
            self._task = None
        try:
            await self.flush()
        except (EdgewiseError, OSError) as error:
            log.warning("Decisions wait in the spill file: %s", error)
            self._spill_over([*self._queue])
            self._queue.clear()

    async def flush(self) -> None:
        """Write all that is known up to now. Raises the database's typed error; the events are kept then."""
        async with self._writing:
            for _ in range(-(-len(self._queue) // BATCH_MAX)):
                batch = list(islice(self._queue, BATCH_MAX))
                await self._write(batch)
                for _ in batch:
                    self._queue.popleft()
            while self._spilling:
                await self._unspill()

    def _take(self, event: Event) -> None:
        """Order is kept: once one event has spilled, all later ones follow it there until the file is read back."""
        self._spilling = self._spilling or len(self._queue) >= self._queue_max
        if self._spilling:
            self._spill_over([event])
        else:
            self._queue.append(event)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self.flush()
            except (EdgewiseError, OSError) as error:
                log.warning("Decisions cannot be written now, they are kept: %s", error)
                await self._sleep(RETRY_S)
                continue
            await self._wake.wait()
            self._wake.clear()
            await self._sleep(GATHER_S)

    async def _write(self, events: list[Event]) -> None:
        """One transaction for all; when SQL refuses the data, one for each, so that a bad event takes none with it."""
        try:
            async with self._database.session() as session:
                orphans = await write_batch(session, events)
        except (StatementError, ValueError, OverflowError) as error:
            await self._write_singly(events, error)
            return
        self._count(written=len(events), orphans=orphans)

    async def _write_singly(self, events: list[Event], error: Exception) -> None:
        if len(events) > 1:
            for event in events:
                await self._write([event])
            return
        self._count(dropped=1)
        log.error("A decision event of stream %s was refused by SQL (%s)", events[0].stream_id, type(error).__name__)

    async def _unspill(self) -> None:
        events = self._spill.take()
        for start in range(0, len(events), BATCH_MAX):
            await self._write(events[start : start + BATCH_MAX])
        self._spill.done()
        self._spilling = bool(self._spill)

    def _spill_over(self, events: list[Event]) -> None:
        spilled, why = 0, "what they hold cannot be written"
        try:
            spilled = self._spill.append(events)
        except OSError as error:
            why = str(error)
        lost = len(events) - spilled
        self._count(spilled=spilled, dropped=lost)
        if lost:
            log.error("%d decision event(s) lost: neither the queue nor the spill file took them (%s)", lost, why)

    def _count(self, **more: int) -> None:
        self._stats = replace(self._stats, **{name: getattr(self._stats, name) + n for name, n in more.items()})
