"""From a batch of events to rows: events of one stream are merged, so each row is written once per batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.decisions.records import Decided, Event, decided_values, finished_values
from control_plane.decisions.repository import DecisionRepository


async def write_batch(session: AsyncSession, events: Iterable[Event]) -> int:
    """Write events in the caller's transaction; safe to repeat. Returns how many ends had no decision to belong to."""
    merged = _merge(events)
    decisions = DecisionRepository(session)
    begun = [sid for sid, row in merged.items() if "mode" in row]
    all_new = await decisions.insert_new([merged[sid] for sid in begun])
    doubtful = merged.keys() - set(begun) if all_new else merged.keys()
    known = await decisions.known(doubtful) if doubtful else set()
    if not all_new:
        await decisions.insert([merged[sid] for sid in begun if sid not in known])
    await decisions.update([row for sid, row in merged.items() if sid in known])
    return len(doubtful - known - set(begun))


def _merge(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        values = decided_values(event) if isinstance(event, Decided) else finished_values(event)
        rows.setdefault(event.stream_id, {"stream_id": event.stream_id}).update(values)
    return rows
