"""The shell around the machine: what it sends, what it keeps on disk, what it starts and ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud_worker.forge.jobs.claim import GONE, Outcome, Told
from cloud_worker.forge.jobs.consumer import Consumer
from cloud_worker.forge.jobs.machine import Machine
from cloud_worker.forge.jobs.workspace import Workspaces
from tests.cloud_worker.forge.jobs.fakes import JOB_ID, MemoryApi, MemoryStarter, claim_of

DONE = Outcome(result={"n": 1})


@dataclass
class Bench:
    """A consumer over fakes and a real disk; `clock` makes waits short."""

    spaces: Workspaces
    api: MemoryApi = field(default_factory=MemoryApi)
    ticks: Iterator[float] = field(default_factory=lambda: (n * 0.05 for n in range(10**6)))

    def start(self) -> None:
        self.starter = MemoryStarter()
        machine = Machine(dice=random.Random(1), poll_s=0.1, drain_s=1.0, unreported=self.spaces.unreported())
        self.consumer = Consumer(self.api, machine, self.spaces, self.starter, ["forge.test"], lambda: next(self.ticks))
        self.task = asyncio.create_task(self.consumer.run())

    async def drained(self) -> None:
        self.consumer.drain()
        await self.task

    async def until(self, heard: str) -> None:
        await self.reached(lambda: heard in self.api.heard)

    async def reached(self, state: Callable[[], bool]) -> None:
        """Let the consumer work until it has come there; one that ended before will not come."""
        while not state():
            await asyncio.sleep(0)
            assert not self.task.done()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Workspaces(tmp_path))


async def test_a_job_is_claimed_worked_on_and_reported(bench: Bench) -> None:
    bench.api.claims = [claim_of()]
    bench.start()
    await bench.starter.started.wait()
    bench.starter.bodies[0].told(Told(0.5, "half"))
    await bench.until("heartbeat half")
    assert bench.spaces.of(JOB_ID).claim() == claim_of()
    bench.starter.bodies[0].end(DONE)
    await bench.until("report")
    await bench.drained()
    assert bench.api.reports == [(1, DONE)]
    assert bench.spaces.of(JOB_ID).claim() is None
    assert bench.spaces.of(JOB_ID).outcome() == DONE


async def test_a_fenced_body_is_stopped_and_the_job_may_be_claimed_again(bench: Bench) -> None:
    bench.api.claims = [claim_of(1), claim_of(2)]
    bench.start()
    await bench.starter.started.wait()
    bench.api.epoch = 2
    await bench.reached(lambda: len(bench.starter.bodies) == 2)
    assert bench.starter.bodies[0].was_stopped
    bench.starter.bodies[1].end(DONE)
    await bench.until("report")
    await bench.drained()
    assert bench.api.reports == [(2, DONE)]


async def test_a_result_outlives_a_control_plane_that_is_away_and_the_process(bench: Bench) -> None:
    bench.api.claims = [claim_of()]
    bench.start()
    await bench.starter.started.wait()
    bench.api.is_away = True
    bench.starter.bodies[0].end(DONE)
    await bench.drained()
    assert bench.spaces.unreported() == [(claim_of(), DONE)]
    bench.api.is_away = False
    bench.start()
    await bench.until("report")
    await bench.drained()
    assert bench.api.reports == [(1, DONE)]
    assert bench.starter.bodies == []
    assert bench.spaces.unreported() == []


async def test_a_zombie_of_an_earlier_process_is_fenced_and_its_result_serves_the_next_claim(bench: Bench) -> None:
    bench.spaces.of(JOB_ID).hold(claim_of(1))
    bench.spaces.of(JOB_ID).keep(DONE)
    bench.api.epoch, bench.api.claims = 2, [claim_of(2)]
    bench.start()
    await bench.reached(lambda: bool(bench.api.reports))
    await bench.drained()
    assert bench.api.reports == [(2, DONE)]
    assert bench.starter.bodies == []


async def test_a_claim_that_a_dead_process_left_without_an_outcome_fails_at_once(bench: Bench) -> None:
    bench.spaces.of(JOB_ID).hold(claim_of())
    bench.start()
    await bench.until("report")
    await bench.drained()
    assert bench.api.reports == [(1, GONE)]


async def test_told_to_stop_it_gives_the_job_back(bench: Bench) -> None:
    bench.api.claims = [claim_of()]
    bench.start()
    await bench.starter.started.wait()
    await bench.drained()
    assert bench.starter.bodies[0].was_stopped
    assert bench.api.heard[-1] == "give back"
    assert bench.spaces.unreported() == []


async def test_a_disk_that_takes_nothing_is_how_the_attempt_failed(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file where a folder should be")
    bench.api.claims = [claim_of()]
    bench.spaces.unreported = lambda: []  # type: ignore[method-assign]
    bench.start()
    await bench.until("report")
    assert "cannot be written" in bench.api.reports[0][1].error
    bench.task.cancel()


async def test_an_id_that_would_leave_the_folder_is_refused(bench: Bench) -> None:
    bench.api.claims = [claim_of(job_id="../../etc")]
    bench.start()
    with pytest.raises(Exception, match="gave a job the id"):
        await bench.task
