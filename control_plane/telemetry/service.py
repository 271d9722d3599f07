"""TelemetryIntake: stores what nodes report, exactly once, and gives it back page by page.

A decision that a device reports becomes a row of the decisions table in the same transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.decisions.device import Reporter, device_event, write_device_events
from control_plane.decisions.records import Event
from control_plane.nodes.telemetry import FreshTelemetry
from control_plane.telemetry.records import Sample, sample_of
from control_plane.telemetry.repository import TelemetryRepository
from control_plane.telemetry.tables import TelemetryRow
from control_plane.text import clip
from edgewise.wire.errors import EdgewiseError

log = logging.getLogger(__name__)

KEEP_RECORDS = 10_000
STREAM_MAX_CHARS = 256
_PRUNE_SHARE = 10


class TelemetryIntake:
    """Where the node registry puts telemetry (`store`), and what the admin API reads (`page`).

    Of each node the `keep_records` that arrived last are kept. Older ones are forgotten in the background, a tenth of
    that number at a time, so a node may have some more for a while.
    """

    def __init__(
        self,
        database: Database,
        *,
        keep_records: int = KEEP_RECORDS,
        now: Callable[[], datetime] = utc_now,
        on_events: Callable[[Sequence[Event]], None] = lambda events: None,
    ) -> None:
        """`on_events` hears once of what devices decided, when it is stored."""
        self._on_events = on_events
        self._database = database
        self._keep_records = keep_records
        self._now = now
        self._slack = max(1, keep_records // _PRUNE_SHARE)
        self._since_pruned: dict[str, int] = {}
        self._pruning: dict[str, asyncio.Task[None]] = {}

    async def store(self, fresh: FreshTelemetry) -> None:
        """Store the records that are not there yet. Raises what the database raises; nothing is stored then."""
        received = self._now()
        samples = [sample_of(fresh.first_seq + index, each, received) for index, each in enumerate(fresh.records)]
        stored = await self._insert(fresh, samples)
        self._grown(fresh.node_id, stored)

    async def last_stored(self, node_id: str, stream: str) -> int:
        """The greatest number of a node's stream that is stored, for a gateway that forgot; 0 for none."""
        async with self._database.reading() as session:
            return await TelemetryRepository(session).last_seq(node_id, clip(stream, STREAM_MAX_CHARS))

    async def page(
        self, node_id: str, *, kind: str | None = None, before_id: int | None = None, limit: int = 50
    ) -> Sequence[TelemetryRow]:
        """Records of a node, the last to arrive first."""
        async with self._database.reading() as session:
            return await TelemetryRepository(session).page(node_id, kind=kind, before_id=before_id, limit=limit)

    async def forget(self, node_id: str) -> int:
        """Forget all records of a node; returns how many that were."""
        async with self._database.session() as session:
            return await TelemetryRepository(session).forget_node(node_id)

    async def settle(self) -> None:
        """Wait until what is to be forgotten is forgotten."""
        await asyncio.gather(*self._pruning.values())

    async def _insert(self, fresh: FreshTelemetry, samples: Sequence[Sample]) -> int:
        place = {"node_id": fresh.node_id, "stream": clip(fresh.stream, STREAM_MAX_CHARS)}
        by = Reporter(fresh.node_id, fresh.admission.key_id, fresh.admission.tenant)
        async with self._database.session() as session:
            telemetry = TelemetryRepository(session)
            known = await telemetry.known(**place, first_seq=fresh.first_seq, last_seq=fresh.last_seq)
            news = [sample for sample in samples if sample.seq not in known]
            await telemetry.insert([place | asdict(sample) for sample in news])
            told = (device_event(by, sample.at, sample.kind, sample.values) for sample in news)
            events = [event for event in told if event is not None]
            await write_device_events(session, events, by.tenant)
        self._on_events(events)
        return len(news)

    def _grown(self, node_id: str, count: int) -> None:
        """The first batch after a start prunes too: nobody counted what came before."""
        self._since_pruned[node_id] = self._since_pruned.get(node_id, self._slack) + count
        if self._since_pruned[node_id] < self._slack or node_id in self._pruning:
            return
        task = asyncio.create_task(self._prune(node_id), name=f"prune-telemetry-{node_id}")
        self._pruning[node_id] = task
        task.add_done_callback(lambda _: self._pruning.pop(node_id))

    async def _prune(self, node_id: str) -> None:
        try:
            while (counted := self._since_pruned[node_id]) >= self._slack:
                await self._forget_surplus(node_id)
                self._since_pruned[node_id] -= counted
        except EdgewiseError as error:
            log.warning("old telemetry of node %s is kept for now: %s", node_id, error)

    async def _forget_surplus(self, node_id: str) -> None:
        async with self._database.reading() as session:
            surplus = await TelemetryRepository(session).surplus(node_id, self._keep_records)
        if surplus is not None:
            async with self._database.session() as session:
                await TelemetryRepository(session).forget(node_id, surplus)
