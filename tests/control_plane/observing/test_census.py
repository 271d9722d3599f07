"""The census: jobs by state from SQL, and decision events that were lost."""

from __future__ import annotations

from pathlib import Path

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.spill import SpillFile
from control_plane.jobs.tables import JobRow
from control_plane.observing.census import Census
from edgewise.observability.observer import Observer


async def test_jobs_are_counted_by_state_and_an_emptied_state_shows_none(database: Database, tmp_path: Path) -> None:
    seen = Observer()
    census = Census(seen, database, DecisionRecorder(database, SpillFile(tmp_path)))
    await census.count()
    assert seen.gauge("edgewise.jobs").series == {}
    async with database.session() as session:
        session.add(a_job("one"))
        session.add(a_job("two"))
    await census.count()
    assert seen.gauge("edgewise.jobs").series == {("queued",): 2}
    async with database.session() as session:
        for job in ("one", "two"):
            row = await session.get(JobRow, job)
            assert row is not None
            await session.delete(row)
    await census.count()
    assert seen.gauge("edgewise.jobs").series == {("queued",): 0}
    assert seen.meter.counter("edgewise.decisions.lost").series == {(): 0}


def a_job(job_id: str) -> JobRow:
    return JobRow(
        id=job_id,
        kind="warm",
        queue="warm",
        key=job_id,
        payload={},
        state="queued",
        epoch=0,
        attempt=0,
        max_attempts=3,
        holder="",
        run_after=utc_now(),
        progress=0.0,
        progress_message="",
        created_at=utc_now(),
    )
