"""The job `prune_charges`: what single answers were charged is forgotten when nobody can tell of it a second time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.jobs.worker import Body, Result, RunningJob
from control_plane.usage.repository import LedgerRepository

KEEP_DAYS = 40
"""Far longer than a stream, the counters, or the file of a gateway that was stopped could bring a charge again."""

BATCH = 5000


def prune_charges(database: Database, *, now: Callable[[], datetime] = utc_now, batch: int = BATCH) -> Body:
    """Forgets charges older than KEEP_DAYS, a short transaction at a time; the sums by day stay for ever."""

    async def body(job: RunningJob) -> Result:
        before, pruned = (now() - timedelta(days=KEEP_DAYS)).date(), 0
        while True:
            async with database.session() as session:
                gone = await LedgerRepository(session).prune(before, batch)
            pruned += gone
            if gone < batch:
                return {"before": before.isoformat(), "charges": pruned}
            job.progress(0.5, f"{pruned} charges forgotten")

    return body
