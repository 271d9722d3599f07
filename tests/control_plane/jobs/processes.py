"""A real `edgewise jobs` on a real embedded broker and a SQLite file, and a look at what its jobs did."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import text

from control_plane.config import DATABASE_FILE
from control_plane.database import Database, sqlite_url
from control_plane.jobs.job import NewJob
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.registry import load_registry
from control_plane.jobs.repository import JobFilter, JobRepository
from control_plane.jobs.tables import JobRow
from control_plane.jobs.wakeups import ThreadWaker, celery_waker
from edgewise.local.valkey import BROKER, ValkeyProcess, launch

MODULE = "tests.control_plane.jobs.job_module"
WITHIN_S = 40.0


class JobsStack:
    """The processes, the database, and adding jobs of kind `test.mark`."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.database = database
        self.broker: ValkeyProcess = launch(folder, BROKER)
        self.broker.wait_ready()
        self.waker: ThreadWaker = celery_waker(self.broker.url)
        self.queue = JobQueue(database, load_registry([MODULE]), self.waker)
        self.main: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = (folder / "jobs.log").open("ab")

    async def start(self, concurrency: int = 2) -> None:
        """Start `edgewise jobs` and wait until it serves."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        environ = os.environ | {
            "EDGEWISE_DATA_DIR": str(self.folder),
            "EDGEWISE_BROKER_URL": self.broker.url,
            "EDGEWISE_LOG_URL": f"unix://{self.folder}/no-log.sock",
            "EDGEWISE_JOB_MODULES": MODULE,
            "EDGEWISE_JOBS_READY_FILE": str(ready),
            "EDGEWISE_JOBS_DRAIN_S": "0.2",
            "PYTHONPATH": str(Path.cwd()),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "edgewise.cli.main", "jobs", "--concurrency", str(concurrency)]
        self.main = subprocess.Popen(
            command, env=environ, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        await until(lambda: _is_there(ready), "jobs to be ready")

    def kill_main(self) -> None:
        """SIGKILL."""
        assert self.main is not None
        self.main.kill()
        self.main.wait()

    async def stop_main(self) -> None:
        """SIGTERM."""
        assert self.main is not None
        self.main.terminate()
        assert await asyncio.to_thread(self.main.wait, WITHIN_S) == 0

    def kill_broker_and_forget(self) -> None:
        """SIGKILL the broker, and take away all that it had kept."""
        os.kill(self.broker.pid, signal.SIGKILL)
        self.broker.process.wait()
        shutil.rmtree(self.broker.folder)

    def restart_broker(self) -> None:
        self.broker = launch(self.folder, BROKER)
        self.broker.wait_ready()

    async def add(self, number: int, sleep_s: float = 0.0) -> str:
        """A job that sleeps at its first try, then leaves its number."""
        payload = {"number": number, "sleep_s": sleep_s, "begun": str(self.begun(number))}
        return await self.queue.enqueue(NewJob(kind="test.mark", key=str(number), payload=payload))

    def begun(self, number: int) -> Path:
        """The process ids of those that began a job, one a line."""
        return self.folder / f"begun-{number}"

    async def worker_of(self, number: int) -> int:
        """The process that works on a job."""
        await until(lambda: _is_there(self.begun(number)), f"job {number} to begin")
        return int(self.begun(number).read_text().split()[-1])

    async def finished(self, numbers: list[int]) -> bool:
        """Whether all these numbers are there, and every job knows that it is done (the mark comes just before)."""
        made = set(numbers) <= set(await self.marks())
        return made and all(row.state == "done" for row in await self.rows())

    async def marks(self) -> list[int]:
        """What the jobs left, in order of their numbers."""
        async with self.database.reading() as session:
            return sorted((await session.execute(text("SELECT number FROM marks"))).scalars())

    async def rows(self) -> list[JobRow]:
        """The jobs of kind test.mark."""
        async with self.database.reading() as session:
            wanted = JobFilter(kind="test.mark")
            return list(await JobRepository(session).page(wanted, before_id=None, limit=200))

    def close(self) -> None:
        self.waker.close()
        if self.main is not None and self.main.poll() is None:
            self.kill_main()
        self.broker.stop()
        self._log.close()


@asynccontextmanager
async def jobs_stack(folder: Path) -> AsyncIterator[JobsStack]:
    """A broker and a database; `start` starts the jobs process."""
    database = Database(sqlite_url(folder / DATABASE_FILE))
    await database.migrate()
    async with database.session() as session:
        await session.execute(text("CREATE TABLE marks (number INTEGER)"))
    stack = JobsStack(folder, database)
    try:
        yield stack
    finally:
        stack.close()
        await database.close()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll until it holds. Raises AssertionError after WITHIN_S."""
    give_up_at = time.monotonic() + WITHIN_S
    while not await condition():
        assert time.monotonic() < give_up_at, f"waited {WITHIN_S:g} s for {what}"
        await asyncio.sleep(0.02)


async def gone(pid: int) -> bool:
    """Whether no such process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
