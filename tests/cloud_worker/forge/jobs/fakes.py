"""A control plane and bodies that live in memory, for the consumer's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cloud_worker.forge.jobs.api import AwayError, FencedError
from cloud_worker.forge.jobs.claim import Claim, Outcome, Told
from cloud_worker.forge.jobs.workspace import Workspace

JOB_ID = "01hzzzzzzzzzzzzzzzzzzzzzzz"


def claim_of(epoch: int = 1, job_id: str = JOB_ID) -> Claim:
    """A claim of a job that nobody checks."""
    return Claim(
        id=job_id,
        kind="forge.test",
        payload={},
        epoch=epoch,
        attempt=1,
        max_attempts=5,
        lease_s=0.3,
        time_limit_s=60.0,
    )


@dataclass
class MemoryApi:
    """Gives out `claims` one after the other, takes reports under the newest epoch, and notes what it hears."""

    claims: list[Claim] = field(default_factory=list)
    epoch: int = 1
    is_away: bool = False
    heard: list[str] = field(default_factory=list)
    reports: list[tuple[int, Outcome]] = field(default_factory=list)
    on_call: Callable[[str], None] = lambda name: None

    async def claim(self, kinds: Sequence[str]) -> Claim | None:
        self._hear("claim")
        return self.claims.pop(0) if self.claims else None

    async def heartbeat(self, claim: Claim, told: Told) -> None:
        self._hear(f"heartbeat {told.message}".strip())
        self._fence(claim)

    async def report(self, claim: Claim, outcome: Outcome) -> None:
        self._hear("report")
        self._fence(claim)
        self.reports.append((claim.epoch, outcome))

    async def give_back(self, claim: Claim) -> None:
        self._hear("give back")
        self._fence(claim)

    def _hear(self, name: str) -> None:
        self.on_call(name)
        if self.is_away:
            raise AwayError("nobody there")
        self.heard.append(name)

    def _fence(self, claim: Claim) -> None:
        if claim.epoch != self.epoch:
            raise FencedError("another epoch")


class MemoryBody:
    """A body that ends when it is told to."""

    def __init__(self, workspace: Workspace, told: Callable[[Told], None]) -> None:
        self.told = told
        self.was_stopped = False
        self._workspace = workspace
        self._ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def end(self, outcome: Outcome) -> None:
        """End as the child does: the outcome is on disk first."""
        self._workspace.keep(outcome)
        self._ended.set_result(outcome)

    async def wait(self) -> Outcome:
        return await asyncio.shield(self._ended)

    async def stop(self) -> Outcome | None:
        self.was_stopped = True
        self._ended.cancel()
        return None


class MemoryStarter:
    """Starts such bodies."""

    def __init__(self) -> None:
        self.bodies: list[MemoryBody] = []
        self.started = asyncio.Event()

    async def start(self, claim: Claim, workspace: Workspace, told: Callable[[Told], None]) -> MemoryBody:
        self.bodies.append(MemoryBody(workspace, told))
        self.started.set()
        return self.bodies[-1]
