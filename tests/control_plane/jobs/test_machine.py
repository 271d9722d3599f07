"""The job row under any order of claims, lost leases, zombies, retries and reapers: never two commits, never lost."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from sqlalchemy import text

from control_plane.database import Database, sqlite_url
from control_plane.jobs.errors import JobFencedError
from control_plane.jobs.job import ClaimedJob, NewJob
from tests.control_plane.jobs.making import WORK, Made, make

T = TypeVar("T")


class JobMachine(RuleBasedStateMachine):
    """Claims are kept for ever, so that any of them may act as a zombie at any later time."""

    jobs: Bundle[str] = Bundle("jobs")
    claims: Bundle[ClaimedJob] = Bundle("claims")

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="ew-machine-")
        self.database = Database(sqlite_url(Path(self.folder.name) / "jobs.sqlite3"))
        self.do(self._prepare())
        self.made: Made = make(self.database)
        self.newest: dict[str, ClaimedJob] = {}
        self.commits: Counter[str] = Counter()
        self.ended: dict[str, str] = {}
        self.number = 0

    async def _prepare(self) -> None:
        await self.database.migrate()
        async with self.database.session() as session:
            await session.execute(text("CREATE TABLE effects (job_id TEXT)"))

    def do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.loop.run(run())

    def fenced(self, claim: ClaimedJob, work: Awaitable[object]) -> bool:
        """Whether the fence refused; only the newest claim of a job that has not ended may ever pass it."""
        try:
            self.do(work)
        except JobFencedError:
            return True
        assert self.newest.get(claim.id) == claim
        assert claim.id not in self.ended
        return False

    @rule(target=jobs)
    def add(self) -> str:
        self.number += 1
        return self.do(self.made.queue.enqueue(NewJob(kind="work", key=str(self.number))))

    @rule(target=claims, job=jobs, holder=st.sampled_from("abc"))
    def claim(self, job: str, holder: str) -> ClaimedJob | MultipleResults[ClaimedJob]:
        found = self.do(self.made.leases.claim(job, "work", holder))
        if found is None:
            return multiple()
        assert job not in self.ended
        assert found.epoch == (self.newest[job].epoch if job in self.newest else 0) + 1
        self.newest[job] = found
        return found

    @rule(claim=claims)
    def renew(self, claim: ClaimedJob) -> None:
        self.fenced(claim, self.made.leases.renew(claim))

    @rule(claim=claims)
    def commit_with_an_effect(self, claim: ClaimedJob) -> None:
        if not self.fenced(claim, self._effect(claim)) and not self.fenced(
            claim, self.made.leases.complete(claim, {"epoch": claim.epoch})
        ):
            self.commits[claim.id] += 1
            self.ended[claim.id] = "done"

    async def _effect(self, claim: ClaimedJob) -> None:
        async with self.database.session() as session:
            if await self.made.leases.step(session, claim, "effect"):
                await session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": claim.id})

    @rule(claim=claims)
    def die_between_effect_and_commit(self, claim: ClaimedJob) -> None:
        self.fenced(claim, self._effect(claim))

    @rule(claim=consumes(claims), retry=st.booleans())
    def fail(self, claim: ClaimedJob, retry: bool) -> None:
        if not self.fenced(claim, self.made.leases.fail(claim, "no", retry=retry)):
            state = self.do(self.made.row(claim.id)).state
            self.newest[claim.id] = claim
            if state != "queued":
                self.ended[claim.id] = state

    @rule(claim=claims)
    def give_back(self, claim: ClaimedJob) -> None:
        self.fenced(claim, self.made.leases.give_back(claim))

    @rule(seconds=st.sampled_from([0.5, WORK.lease_s / 2, WORK.lease_s + 1]))
    def wait(self, seconds: float) -> None:
        self.made.now.advance(seconds)

    @rule()
    def reap(self) -> None:
        self.do(self.made.leases.reap())
        for job in set(self.newest) - set(self.ended):
            if self.do(self.made.row(job)).state == "dead":
                self.ended[job] = "dead"

    @invariant()
    def nothing_is_committed_twice(self) -> None:
        if hasattr(self, "commits"):
            assert all(count == 1 for count in self.commits.values())

    def teardown(self) -> None:
        if not hasattr(self, "made"):
            return
        try:
            self.do(self._finish())
        finally:
            self.do(self.database.close())
            self.loop.close()
            self.folder.cleanup()

    async def _finish(self) -> None:
        """Left alone with one honest worker, every job that has not ended ends; no effect is there twice."""
        for _ in range(2 * WORK.max_attempts):
            self.made.now.advance(100)
            await self.made.leases.reap()
            while claim := await self.made.leases.claim_any(["work"], "honest"):
                await self._effect(claim)
                await self.made.leases.complete(claim, None)
        async with self.database.reading() as session:
            found = (await session.execute(text("SELECT id, state FROM jobs"))).all()
            states: dict[str, str] = {row.id: row.state for row in found}
            effects = Counter((await session.execute(text("SELECT job_id FROM effects"))).scalars())
        assert len(states) == self.number
        assert all(effects[job] == 1 for job, state in states.items() if state == "done")
        assert max(effects.values(), default=1) == 1
        assert set(states.values()) <= {"done", "failed", "dead"}
        assert all(states[job] == state for job, state in self.ended.items())


JobMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestJobs = JobMachine.TestCase
