"""Kinds of jobs for tests, as an operator's own module offers them. Their effects are lines of a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from sqlalchemy import text

from control_plane.jobs.bodies import Resources
from control_plane.jobs.job import JobKind
from control_plane.jobs.worker import Body, Result, RunningJob

KINDS = (
    JobKind(name="test.mark", queue="seal", lease_s=2.0, max_attempts=20, time_limit_s=30.0),
    JobKind(name="test.node", queue="forge", lease_s=2.0, for_nodes=True),
)


async def open_bodies(resources: Resources, stack: AsyncExitStack) -> Mapping[str, Body]:
    """`test.mark` writes its number into a table once, and its process id into a file at each try; then it sleeps."""

    async def mark(job: RunningJob) -> Result:
        begun = Path(job.payload["begun"])
        with begun.open("a") as file:
            file.write(f"{os.getpid()}\n")
        job.progress(0.5, "half")
        await asyncio.sleep(job.payload["sleep_s"] if job.claimed.attempt == 1 else 0.0)
        async with resources.database.session() as session:
            if await job.step(session, "mark"):
                await session.execute(text("INSERT INTO marks VALUES (:number)"), {"number": job.payload["number"]})
        return {"pid": os.getpid()}

    return {"test.mark": mark}
