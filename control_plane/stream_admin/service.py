"""StreamDesk: open streams from the token log, ended ones from SQL, in one order; one stream in detail; cancelling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from control_plane.audit.service import AuditTrail
from control_plane.decisions.errors import DecisionNotFoundError
from control_plane.decisions.repository import DecisionFilter
from control_plane.decisions.sealed import summarize
from control_plane.decisions.service import Decisions, stream_id_of
from control_plane.decisions.tables import DecisionRow
from edgewise.ids import id_time_s
from edgewise.streams.entries import TierEntry, decode_entry
from edgewise.streams.log import Head, Record, StreamLog
from edgewise.wire.errors import StreamNotFoundError

OPEN_MAX = 2000
"""Open streams that are looked at in each shard of the log."""
HERE = "control_plane"
StreamState = Literal["open", "done", "failed", "cancelled", "unsettled"]


class OpenStreams(Protocol):
    """What is asked of `control_plane.streams.valkey_log.ValkeyStreamLog`."""

    async def open_streams(self, limit: int) -> list[str]: ...


@dataclass(frozen=True)
class StreamFilter:
    """Which streams to list; None means any."""

    state: StreamState | None = None
    tenant: str | None = None
    key_id: str | None = None
    tier: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class StreamSummary:
    """A stream and its decision; the decision of one that was opened a moment ago may not be written yet."""

    stream_id: str
    state: StreamState
    decision: DecisionRow | None


@dataclass(frozen=True)
class StreamDetail:
    """A stream's head, its tiers in the order in which they spoke, and its text where that was asked for."""

    summary: StreamSummary
    head: Head
    tiers: tuple[str, ...]
    text: str | None


class StreamDesk:
    """The service behind /admin/v1/streams. `cancel` stops a stream and returns its head."""

    def __init__(
        self,
        live: OpenStreams,
        log: StreamLog,
        decisions: Decisions,
        audit: AuditTrail,
        *,
        cancel: Callable[[str], Awaitable[Head]],
    ) -> None:
        self._live = live
        self._log = log
        self._decisions = decisions
        self._audit = audit
        self._cancel = cancel

    async def page(self, wanted: StreamFilter, *, before_id: str | None, limit: int) -> list[StreamSummary]:
        """Streams of this control plane, newest first."""
        open_ids = await self._live.open_streams(OPEN_MAX)
        found = await self._open(wanted, [sid for sid in open_ids if before_id is None or sid < before_id], limit)
        if wanted.state != "open":
            found += await self._recorded(wanted, frozenset(open_ids), before_id, limit)
        if wanted.state not in (None, "open"):
            found = [each for each in found if each.state == wanted.state]
        return sorted(found, key=lambda each: each.stream_id, reverse=True)[:limit]

    async def get(self, stream_id: str, *, text: bool, actor: str) -> StreamDetail:
        """One stream; reading its text is audited. Raises StreamNotFoundError."""
        sid = _stream_id(stream_id)
        head = await self._log.head(sid)
        if text:
            await self._audit.note(actor=actor, action="stream.read_text", target=f"stream/{sid}")
        records = await self._records(sid, head)
        decision = (await self._decisions.of([sid])).get(sid)
        open_ids = frozenset({sid} if head.status == "open" else ())
        tiers = tuple(entry.tier for entry in map(_entry, records) if isinstance(entry, TierEntry))
        said = summarize(records).text if text else None
        return StreamDetail(StreamSummary(sid, _state(sid, decision, open_ids, head), decision), head, tiers, said)

    async def cancel(self, stream_id: str, *, actor: str) -> Head:
        """Stop an answer of whomever; again, it changes nothing. Raises StreamNotFoundError."""
        sid = _stream_id(stream_id)
        before = await self._log.head(sid)
        after = await self._cancel(sid)
        if before.status == "open":
            await self._audit.note(
                actor=actor,
                action="stream.cancel",
                target=f"stream/{sid}",
                after=f"{after.status}, owner {after.owner}",
            )
        return after

    async def _open(self, wanted: StreamFilter, ids: Sequence[str], limit: int) -> list[StreamSummary]:
        """The newest open streams that match. Without a decision, only the time is known of one."""
        found: list[StreamSummary] = []
        if wanted.state not in (None, "open"):
            return found
        for start in range(0, len(ids), limit):
            part = ids[start : start + limit]
            rows = await self._decisions.of(part)
            found += [StreamSummary(sid, "open", rows.get(sid)) for sid in part if _fits(wanted, sid, rows.get(sid))]
            if len(found) >= limit:
                break
        return found

    async def _recorded(
        self, wanted: StreamFilter, open_ids: frozenset[str], before_id: str | None, limit: int
    ) -> list[StreamSummary]:
        """The newest recorded streams that match and are not open."""
        status = "running" if wanted.state == "unsettled" else wanted.state
        filters = DecisionFilter(
            since=wanted.since,
            tier=wanted.tier,
            tenant=wanted.tenant,
            key_id=wanted.key_id,
            origin=HERE,
            status=status,
        )
        rows = await self._decisions.page(filters, before_id=before_id, limit=limit + len(open_ids))
        return [
            StreamSummary(row.stream_id, _state(row.stream_id, row, open_ids), row)
            for row in rows
            if row.stream_id not in open_ids
        ]

    async def _records(self, sid: str, head: Head) -> list[Record]:
        records: list[Record] = []
        while len(records) < head.next_seq and (page := await self._log.read(sid, after=len(records) - 1)):
            records += page
        return records


def _stream_id(text: str) -> str:
    try:
        return stream_id_of(text)
    except DecisionNotFoundError as error:
        raise StreamNotFoundError(
            f"There is no stream {text[:40]!r}", remedy="list the streams: `edgewise streams list` or /admin/v1/streams"
        ) from error


def _state(sid: str, row: DecisionRow | None, open_ids: frozenset[str], head: Head | None = None) -> StreamState:
    """The log says what is open. `unsettled`: it has ended there, and nobody has recorded how."""
    if sid in open_ids:
        return "open"
    if row is not None and row.status != "running":
        return row.status
    return "cancelled" if head is not None and head.status == "cancelled" else "unsettled"


def _fits(wanted: StreamFilter, sid: str, row: DecisionRow | None) -> bool:
    if row is None:
        unknown = wanted.tenant is None and wanted.key_id is None and wanted.tier is None
        return unknown and (wanted.since is None or datetime.fromtimestamp(id_time_s(sid), UTC) >= wanted.since)
    return (
        wanted.tenant in (None, row.tenant)
        and wanted.key_id in (None, row.key_id)
        and wanted.tier in (None, row.tier, row.last_tier)
        and (wanted.since is None or row.at >= wanted.since)
    )


def _entry(record: Record) -> object:
    return decode_entry(record.payload)
