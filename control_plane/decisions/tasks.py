"""The job `export_decisions`: each day's decisions as a gzip file of JSON lines, and a manifest that counts them.

A decision has no column for text, so a file holds none either.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import msgspec

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.decisions.repository import DecisionFilter, DecisionRepository
from control_plane.decisions.tables import DecisionRow
from control_plane.jobs.errors import JobGivenUpError
from control_plane.jobs.payload import payload_of
from control_plane.jobs.worker import Body, Result, RunningJob

PAGE = 500
DAYS_MAX = 366
_COLUMNS = tuple(column.key for column in DecisionRow.__table__.columns)


class Days(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The payload: days in UTC, both included; yesterday when left out."""

    first: date | None = None
    last: date | None = None


class Manifest(msgspec.Struct, frozen=True):
    """Beside each file: what it holds. `sha256` is that of the gzip file."""

    day: str
    file: str
    rows: int
    sha256: str


def yesterday(due_at: datetime) -> dict[str, str]:
    """The payload of the nightly tick."""
    day = (due_at.astimezone(UTC).date() - timedelta(days=1)).isoformat()
    return {"from": day, "to": day}


def export_decisions(database: Database, folder: Path, *, now: Callable[[], datetime] = utc_now) -> Body:
    """Writes `decisions-YYYY-MM-DD.jsonl.gz` and `.manifest.json` into `folder`; again, it replaces them."""

    async def body(job: RunningJob) -> Result:
        days = _wanted(payload_of(job, Days), now())
        rows = 0
        for number, day in enumerate(days):
            job.progress(number / len(days), f"{day}, {rows} rows so far")
            rows += (await _export(database, folder, day)).rows
        return {"files": len(days), "rows": rows, "folder": str(folder)}

    return body


def _wanted(days: Days, now: datetime) -> list[date]:
    last = days.last or days.first or now.astimezone(UTC).date() - timedelta(days=1)
    first = days.first or last
    count = (last - first).days + 1
    if not 0 < count <= DAYS_MAX:
        raise JobGivenUpError(
            f"From {first} to {last} is no span of days", expected=f"1 to {DAYS_MAX} days", remedy="correct from and to"
        )
    return [first + timedelta(days=number) for number in range(count)]


async def _export(database: Database, folder: Path, day: date) -> Manifest:
    """The files stand under their names only when they are whole."""
    name = f"decisions-{day}.jsonl.gz"
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    half = folder / f".{name}.{os.getpid()}"
    try:
        rows = 0
        with half.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            async for page in _pages(database, day):
                await asyncio.to_thread(packed.write, _lines(page))
                rows += len(page)
        manifest = Manifest(day.isoformat(), name, rows, await asyncio.to_thread(_finish, half, folder / name))
    finally:
        half.unlink(missing_ok=True)
    half.write_bytes(msgspec.json.encode(manifest) + b"\n")
    half.replace(folder / f"decisions-{day}.manifest.json")
    return manifest


def _finish(half: Path, whole: Path) -> str:
    """Flush to the disk, rename; the file's sha256."""
    with half.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    half.replace(whole)
    return digest


async def _pages(database: Database, day: date) -> AsyncIterator[Sequence[DecisionRow]]:
    """The day's decisions, newest first, a short transaction for each page."""
    since = datetime.combine(day, time(), tzinfo=UTC)
    wanted, before_id = DecisionFilter(since=since, until=since + timedelta(days=1)), None
    while True:
        async with database.reading() as session:
            rows = await DecisionRepository(session).page(wanted, before_id=before_id, limit=PAGE)
        if not rows:
            return
        yield rows
        before_id = rows[-1].stream_id


def _lines(rows: Sequence[DecisionRow]) -> bytes:
    return msgspec.json.Encoder().encode_lines([_line(row) for row in rows])


def _line(row: DecisionRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _COLUMNS}
