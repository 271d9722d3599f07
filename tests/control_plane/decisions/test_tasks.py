"""The nightly export: whole files under their names, the right days, the same again when run again, and no text."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.database import Database
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.spill import SpillFile
from control_plane.decisions.tasks import PAGE, export_decisions, yesterday
from control_plane.jobs.errors import JobGivenUpError
from control_plane.jobs.job import ClaimedJob
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.registry import Registry
from control_plane.jobs.worker import RunningJob
from tests.control_plane.decisions.events import decided, finished
from tests.factories.admin import NOON

DAY = NOON.date()


def job(database: Database, **payload: str) -> RunningJob:
    claimed = ClaimedJob(
        id="j", kind="export_decisions", payload=payload, epoch=1, attempt=1, max_attempts=1, lease_until=NOON
    )
    return RunningJob(claimed, JobLeases(database, Registry()))


async def record(database: Database, folder: Path, numbers: range, at: datetime) -> None:
    recorder = DecisionRecorder(database, SpillFile(folder))
    for number in numbers:
        recorder.decided(decided(number, at=at + timedelta(milliseconds=number)))
        recorder.finished(finished(number))
    await recorder.flush()


def lines(folder: Path, day: object = DAY) -> list[dict[str, object]]:
    packed = (folder / f"decisions-{day}.jsonl.gz").read_bytes()
    manifest = json.loads((folder / f"decisions-{day}.manifest.json").read_bytes())
    found = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    assert manifest["rows"] == len(found)
    assert manifest["sha256"] == hashlib.sha256(packed).hexdigest()
    return found


async def test_a_day_is_whole_alone_and_the_same_when_it_is_exported_again(database: Database, tmp_path: Path) -> None:
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    await record(database, tmp_path, range(PAGE + 3), midnight)
    await record(database, tmp_path, range(1000, 1002), midnight - timedelta(seconds=5))
    await record(database, tmp_path, range(2000, 2003), midnight + timedelta(days=1))
    body, folder = export_decisions(database, tmp_path / "exports"), tmp_path / "exports"
    running = job(database, **{"from": DAY.isoformat()})
    assert await body(running) == {"files": 1, "rows": PAGE + 3, "folder": str(folder)}
    found = lines(folder)
    assert len({line["stream_id"] for line in found}) == PAGE + 3
    assert found[0]["rule"] == "default"
    assert not {"text", "prompt", "messages"} & found[0].keys()
    before = (folder / f"decisions-{DAY}.jsonl.gz").read_bytes()
    await body(running)
    assert (folder / f"decisions-{DAY}.jsonl.gz").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


async def test_several_days_with_progress_and_yesterday_by_default(database: Database, tmp_path: Path) -> None:
    running = job(database, **{"from": "2026-05-01", "to": "2026-05-03"})
    result = await export_decisions(database, tmp_path)(running)
    assert result is not None
    assert result["files"] == 3
    assert (running.told.fraction, running.told.message) == (2 / 3, "2026-05-03, 0 rows so far")
    await export_decisions(database, tmp_path, now=lambda: NOON)(job(database))
    assert lines(tmp_path, DAY - timedelta(days=1)) == []
    assert yesterday(NOON) == {"from": "2026-05-03", "to": "2026-05-03"}


@pytest.mark.parametrize(
    "payload",
    [{"from": "x"}, {"from": "2026-05-02", "to": "2026-05-01"}, {"from": "2020-01-01", "to": "2026-01-01"}],
)
async def test_a_span_that_cannot_be_exported_is_given_up(
    database: Database, tmp_path: Path, payload: dict[str, str]
) -> None:
    with pytest.raises(JobGivenUpError):
        await export_decisions(database, tmp_path)(job(database, **payload))
