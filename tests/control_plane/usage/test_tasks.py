"""Pruning as a job: in small transactions, and only what is old."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from control_plane.database import Database
from control_plane.jobs.job import ClaimedJob
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.worker import RunningJob
from control_plane.usage.charges import Charge, day_number
from control_plane.usage.ledger import Ledger
from control_plane.usage.repository import LedgerRepository, UsageFilter
from control_plane.usage.tasks import KEEP_DAYS, prune_charges
from edgewise.ids import new_id

NOW = datetime(2026, 5, 16, 3, tzinfo=UTC)


async def nobody(charges: object) -> None:
    """No counters."""


async def test_old_charges_go_and_the_sums_stay(database: Database, tmp_path: Path) -> None:
    ledger, today = Ledger(database, tmp_path / "spill", on_written=nobody), day_number(NOW)
    sids = [new_id() for _ in range(7)]
    for number, sid in enumerate(sids):
        day = today - KEEP_DAYS - (number < 5)
        ledger.add(Charge(sid=sid, key_id="k", tenant="t", day=day, completion_tokens=1))
    await ledger.flush()
    job = RunningJob(
        ClaimedJob(id="j", kind="k", payload={}, epoch=1, attempt=1, max_attempts=1, lease_until=NOW),
        cast(JobLeases, None),
    )
    result = await prune_charges(database, now=lambda: NOW, batch=2)(job)
    assert result == {"before": "2026-04-06", "charges": 5}
    async with database.reading() as session:
        left = await LedgerRepository(session).charges(sids)
        assert {row.stream_id for row in left} == set(sids[5:])
        assert await LedgerRepository(session).total(UsageFilter()) == (7, 0)
