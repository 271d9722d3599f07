"""The census: what only SQL or a sum knows is counted every few seconds, off every request's path, for the gauges."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from control_plane.database import Database
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.observing.repository import JobCounts
from edgewise.observability.observer import Observer
from edgewise.wire.errors import EdgewiseError

EVERY_S = 5.0
logger = logging.getLogger(__name__)


class Census:
    """Counts until it is cancelled; a database that is away keeps the last counts."""

    def __init__(
        self,
        observer: Observer,
        database: Database,
        recorder: DecisionRecorder,
        *,
        every_s: float = EVERY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._jobs = observer.gauge("edgewise.jobs")
        self._lost = observer.meter.counter("edgewise.decisions.lost")
        self._database = database
        self._recorder = recorder
        self._every_s = every_s
        self._sleep = sleep
        self._states: set[str] = set()
        self._lost_before = 0

    async def run(self) -> None:
        """Count at once, and again and again."""
        while True:
            try:
                await self.count()
            except EdgewiseError as error:
                logger.info("jobs cannot be counted now: %s", error)
            await self._sleep(self._every_s)

    async def count(self) -> None:
        """Count once. A state that has emptied shows 0. Raises the database's typed error."""
        dropped = self._recorder.stats.dropped
        self._lost.add(dropped - self._lost_before)
        self._lost_before = dropped
        async with self._database.reading() as session:
            counts = await JobCounts(session).by_state()
        self._states |= set(counts)
        for state in self._states:
            self._jobs.set(counts.get(state, 0), state)
