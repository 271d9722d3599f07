"""Telemetry of devices reaches the director: once, and only when it is stored."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from control_plane.database import Database
from control_plane.decisions.records import Decided, Event, Finished
from control_plane.telemetry.service import TelemetryIntake
from edgewise.ids import new_id
from tests.control_plane.telemetry.batches import answer, decision, fresh, record

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_what_a_device_decided_is_heard_once(database: Database) -> None:
    heard: list[Event] = []

    def hear(events: Sequence[Event]) -> None:
        heard.extend(events)

    intake, sid = TelemetryIntake(database, on_events=hear), new_id()
    batch = fresh(1, decision(sid), record(1), answer(sid))
    await intake.store(batch)
    await intake.store(batch)
    assert [(type(event), event.stream_id) for event in heard] == [(Decided, sid), (Finished, sid)]
    await intake.settle()
