"""Decisions: reading what the recorder wrote. Writing is the recorder's business alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from control_plane.database import Database
from control_plane.decisions.errors import DecisionNotFoundError
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.repository import DecisionFilter, DecisionRepository, Grouping, RecordedRow
from control_plane.decisions.tables import DecisionRow
from edgewise.ids import is_id

COMPLETION_PREFIX = "chatcmpl-"


PAGE = 500
GROUPINGS: tuple[Grouping, ...] = ("mode", "rule", "tier", "status", "model", "origin")
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Quantiles:
    """Of how many, and nearest-rank quantiles in seconds; None where there are none."""

    count: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


@dataclass(frozen=True)
class Summary:
    """Decisions by the values of some columns, and how long answers took."""

    counts: dict[Grouping, dict[str, int]]
    first_token: Quantiles
    total: Quantiles


def stream_id_of(text: str) -> str:
    """The stream id in a stream id or a chat completion's id. Raises DecisionNotFoundError."""
    sid = text.removeprefix(COMPLETION_PREFIX)
    if not is_id(sid):
        raise DecisionNotFoundError(text)
    return sid


class Decisions:
    """The service behind /admin/v1/decisions. It writes out the recorder's queue first, so that an operator sees the
    answer that just ended."""

    def __init__(self, database: Database, recorder: DecisionRecorder) -> None:
        self._database = database
        self._recorder = recorder

    async def page(
        self, wanted: DecisionFilter, *, before_id: str | None = None, limit: int = 50
    ) -> Sequence[DecisionRow]:
        """Decisions, newest first."""
        await self._recorder.flush()
        async with self._database.reading() as session:
            return await DecisionRepository(session).page(wanted, before_id=before_id, limit=limit)

    async def pages(self, wanted: DecisionFilter) -> AsyncIterator[Sequence[DecisionRow]]:
        """All that match, newest first, a page and a short transaction at a time."""
        below: str | None = None
        while rows := await self.page(wanted, before_id=below, limit=PAGE):
            yield rows
            below = rows[-1].stream_id

    async def recorded(
        self, since: datetime | None, tenant: str | None, last: int
    ) -> AsyncIterator[Sequence[RecordedRow]]:
        """The newest `last` decisions as a replay reads them, in pages."""
        await self._recorder.flush()
        wanted, below = DecisionFilter(since=since, tenant=tenant), None
        while last > 0:
            async with self._database.reading() as session:
                rows = await DecisionRepository(session).recorded(wanted, before_id=below, limit=min(PAGE, last))
            if not rows:
                return
            yield rows
            last, below = last - len(rows), rows[-1].stream_id

    async def of(self, stream_ids: Collection[str]) -> dict[str, DecisionRow]:
        """The decisions of these streams, by stream id."""
        await self._recorder.flush()
        async with self._database.reading() as session:
            return {row.stream_id: row for row in await DecisionRepository(session).of(stream_ids)}

    async def summary(self, wanted: DecisionFilter) -> Summary:
        """What matches, counted; one snapshot."""
        await self._recorder.flush()
        async with self._database.reading() as session:
            decisions = DecisionRepository(session)
            counts = {column: await decisions.counts(wanted, column) for column in GROUPINGS}
            first = await decisions.quantiles(wanted, "first_token_s", QUANTILES)
            total = await decisions.quantiles(wanted, "total_s", QUANTILES)
        return Summary(counts, Quantiles(first[0], *first[1]), Quantiles(total[0], *total[1]))

    async def get(self, stream_id: str) -> DecisionRow:
        """One decision. Raises DecisionNotFoundError."""
        await self._recorder.flush()
        async with self._database.reading() as session:
            row = await DecisionRepository(session).get(stream_id_of(stream_id))
        if row is None:
            raise DecisionNotFoundError(stream_id)
        return row
