"""Consumer: the shell around the machine. It does what the machine says, one thing at a time, and tells how it went."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from cloud_worker.forge.jobs import machine as do
from cloud_worker.forge.jobs.api import AwayError, FencedError, RefusedError
from cloud_worker.forge.jobs.claim import Claim, Outcome, Told, failed
from cloud_worker.forge.jobs.machine import Machine
from cloud_worker.forge.jobs.process import BodyStarter, RunningBody
from cloud_worker.forge.jobs.workspace import Workspaces

logger = logging.getLogger(__name__)
TOLD_S = 30.0


class Api(Protocol):
    """What JobsApi offers; each call may raise AwayError, all but the claim FencedError and RefusedError."""

    async def claim(self, kinds: Sequence[str]) -> Claim | None: ...

    async def heartbeat(self, claim: Claim, told: Told) -> None: ...

    async def report(self, claim: Claim, outcome: Outcome) -> None: ...

    async def give_back(self, claim: Claim) -> None: ...


class Consumer:
    """Works on jobs until told to stop. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        api: Api,
        machine: Machine,
        workspaces: Workspaces,
        starter: BodyStarter,
        kinds: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._machine = machine
        self._workspaces = workspaces
        self._starter = starter
        self._kinds = kinds
        self._clock = clock
        self._body: RunningBody | None = None
        self._ended: asyncio.Future[Outcome] | None = None
        self._happened = asyncio.Event()
        self._said_away_at: float | None = None

    def drain(self) -> None:
        """Take no more work; stop the body, give the job back, and end."""
        self._machine.drain(self._clock())
        self._happened.set()

    async def run(self) -> None:
        """Until the machine leaves."""
        try:
            while not isinstance(action := self._machine.next(self._clock()), do.Leave):
                held = self._machine.claim
                await self._do(action)
                if held is not None and self._machine.claim is None:
                    self._release(held)
        finally:
            if self._body is not None:
                await self._body.stop()

    def _release(self, claim: Claim) -> None:
        """A note that stays on a broken disk costs one refused report at the next start."""
        try:
            self._workspaces.of(claim.id).release()
        except OSError as error:
            logger.warning("the claim of job %s cannot be wiped out: %s", claim.id, error.strerror)

    async def _do(self, action: do.Action) -> None:
        match action:
            case do.Ask():
                await self._call(self._ask)
            case do.Start(claim):
                await self._start(claim)
            case do.Beat(claim, told):
                await self._call(lambda: self._beat(claim, told))
            case do.Stop(claim):
                await self._stop(claim)
            case do.Report(claim, outcome):
                await self._call(lambda: self._report(claim, outcome))
            case do.GiveBack(claim):
                await self._call(lambda: self._give_back(claim))
            case do.Wait(until):
                await self._wait(until)

    async def _call(self, call: Callable[[], Awaitable[None]]) -> None:
        """One call to the control plane; what becomes of a refusal is the machine's."""
        try:
            await call()
            self._said_away_at = None
        except AwayError as error:
            self._say_away(error)
            self._machine.away(self._clock())
        except FencedError as error:
            logger.warning("a claim is over: %s", error)
            self._machine.fenced()
        except RefusedError as error:
            logger.error("the control plane refuses what is said: %s", error)
            self._machine.refused(error.message)

    def _say_away(self, error: AwayError) -> None:
        """At the first failure, and then now and again."""
        now = self._clock()
        if self._said_away_at is None or now - self._said_away_at >= TOLD_S:
            self._said_away_at = now
            logger.warning("%s", error)

    async def _ask(self) -> None:
        claim = await self._api.claim(self._kinds)
        if claim is None:
            self._machine.nothing(self._clock())
            return
        logger.info("job %s (%s) is ours, epoch %d", claim.id, claim.kind, claim.epoch)
        try:
            found = self._workspaces.of(claim.id).hold(claim)
        except OSError as error:
            self._machine.claimed(claim, None, self._clock())
            self._machine.ended(failed(f"the job's folder cannot be written: {error.strerror}", retry=True))
        else:
            self._machine.claimed(claim, found, self._clock())

    async def _start(self, claim: Claim) -> None:
        try:
            self._body = await self._starter.start(claim, self._workspaces.of(claim.id), self._told)
        except OSError as error:
            self._machine.ended(failed(f"the body could not be started: {error.strerror}", retry=True))
        else:
            self._ended = asyncio.ensure_future(self._body.wait())
            self._machine.started()

    def _told(self, told: Told) -> None:
        self._machine.told(told)
        self._happened.set()

    async def _beat(self, claim: Claim, told: Told) -> None:
        await self._api.heartbeat(claim, told)
        self._machine.renewed(self._clock())

    async def _report(self, claim: Claim, outcome: Outcome) -> None:
        await self._api.report(claim, outcome)
        logger.info("job %s: %s", claim.id, "done" if outcome.is_done else outcome.error)
        self._machine.accepted()

    async def _give_back(self, claim: Claim) -> None:
        await self._api.give_back(claim)
        logger.info("job %s is given back", claim.id)
        self._machine.accepted()

    async def _stop(self, claim: Claim) -> None:
        assert self._body is not None
        outcome = await self._body.stop()
        self._body = self._ended = None
        logger.info("the body of job %s was stopped", claim.id)
        self._machine.stopped(outcome, self._clock())

    async def _wait(self, until: float) -> None:
        """Until the moment, the body's end, news from it, or a signal."""
        happened = asyncio.ensure_future(self._happened.wait())
        waiting: list[asyncio.Future[Any]] = [happened] if self._ended is None else [happened, self._ended]
        pause_s = max(until - self._clock(), 0.0)
        await asyncio.wait(waiting, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        happened.cancel()
        self._happened.clear()
        if self._ended is not None and self._ended.done():
            outcome = self._ended.result()
            self._body = self._ended = None
            self._machine.ended(outcome)
