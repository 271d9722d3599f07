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
    known = await decisions.known(merged)
    fresh = [row for sid, row in merged.items() if sid not in known]
    complete = [row for row in fresh if "mode" in row]
    await decisions.insert(complete)
    await decisions.update([row for sid, row in merged.items() if sid in known])
    return len(fresh) - len(complete)


def _merge(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        values = decided_values(event) if isinstance(event, Decided) else finished_values(event)
        rows.setdefault(event.stream_id, {"stream_id": event.stream_id}).update(values)
    return rows
