"""The runner: it alone owns a stream while an answer is made. It opens the mode, pumps chunks into the log, hands over
when a tier dies, and writes the one end. Whatever happens to tiers, the log stays gap-free and ends exactly once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from edgewise.generation.state import GenerationState
from edgewise.ids import new_id
from edgewise.routing.attempt import Attempt
from edgewise.routing.handoff import Encode, Sleep, open_continuation, with_ids
from edgewise.routing.modes import MODES
from edgewise.routing.modes.base import Opening
from edgewise.routing.plan import Plan
from edgewise.routing.seams import Seams
from edgewise.routing.tier import Chunk, Finish, Tier, Usage
from edgewise.streams.entries import EndEntry, ErrorEntry, TierEntry, Timings, WarnEntry
from edgewise.streams.log import Claim, StreamLog
from edgewise.streams.writer import StreamWriter
from edgewise.wire.errors import EdgewiseError, FencedError, LogUnavailableError, TierError, TierTimeoutError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One answer to make: the stream and its claim, the plan, and the state to start from."""

    sid: str
    claim: Claim
    plan: Plan
    state: GenerationState
    arrived_at: float
    encode: Encode | None = None
    seams: Seams = field(default_factory=Seams)


@dataclass
class Outcome:
    """How an answer ended, for the decision record; no text in it. `finish` may also be error, cancelled or fenced."""

    finish: str = "error"
    tiers: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    failures: list[EdgewiseError] = field(default_factory=list)


class Runner:
    """Makes answers. `holder` names this process in leases; `clock` is monotonic seconds."""

    def __init__(
        self,
        log: StreamLog,
        *,
        holder: str,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        attempt_id: Callable[[], str] = new_id,
    ) -> None:
        self._log = log
        self._holder = holder
        self._lease_s = lease_s
        self._clock = clock
        self._sleep = sleep
        self._attempt_id = attempt_id
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def open(self, sid: str, *, owner: str, request: bytes) -> Claim:
        """Create the stream and claim its first epoch."""
        await self._log.create(sid, owner=owner, request=request)
        return await self._log.claim(sid, holder=self._holder, lease_s=self._lease_s, seen_epoch=0)

    def start(self, job: Job, on_end: Callable[[Outcome], None]) -> None:
        """Make the answer in the background; `on_end` is called exactly once, whatever happens."""
        task = asyncio.create_task(self._run_to_end(job, on_end), name=f"answer-{job.sid}")
        self._tasks[job.sid] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.sid, None))

    @property
    def running(self) -> int:
        return len(self._tasks)

    def stop_answer(self, sid: str) -> None:
        """Stop working on a stream that was cancelled in the log, without waiting for the next append to say so."""
        if task := self._tasks.get(sid):
            task.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Let running answers end; those that do not are stopped, and their lease runs out for others to take."""
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run_to_end(self, job: Job, on_end: Callable[[Outcome], None]) -> None:
        answering = _Answering(job, self._log, self._lease_s, self._clock, self._sleep, self._attempt_id)
        try:
            await answering.run()
        except asyncio.CancelledError:
            answering.outcome.finish = "cancelled"
        except Exception:
            logger.exception("answer failed", extra={"stream": job.sid})
        finally:
            on_end(answering.outcome)


class _Answering:
    """The making of one answer: the mutable part, alive as long as its task."""

    def __init__(
        self,
        job: Job,
        log: StreamLog,
        lease_s: float,
        clock: Callable[[], float],
        sleep: Sleep,
        attempt_id: Callable[[], str],
    ) -> None:
        self.outcome = Outcome()
        self._job = job
        self._log = log
        self._plan = job.plan
        self._clock = clock
        self._sleep = sleep
        self._attempt_id = attempt_id
        self._state = job.seams.redact(job.state)
        self._writer = StreamWriter(log, job.sid, job.claim, lease_s=lease_s)
        self._first_token_s = 0.0
        self._waste = 0
        self._usage = Usage()
        self._heard_at = clock()

    async def run(self) -> None:
        try:
            async with self._writer:
                await self._answer_or_give_up()
        except FencedError:
            head = await self._log.head(self._job.sid)
            self.outcome.finish = "cancelled" if head.status == "cancelled" else "fenced"
        except LogUnavailableError as error:
            self.outcome.failures.append(error)
            logger.error("token log unavailable in mid-answer", extra={"stream": self._job.sid})

    async def _answer_or_give_up(self) -> None:
        pump = asyncio.current_task()
        assert pump is not None
        watch = asyncio.create_task(self._watch(pump))
        try:
            async with asyncio.timeout(self._plan.limits.total_s):
                await self._answer()
        except TimeoutError:
            await self._give_up(TierTimeoutError("The answer took longer than its total time limit"))
        except TierError as error:
            await self._give_up(error)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, pump: asyncio.Task[object]) -> None:
        """Warn the reader once per long silence; stop the pump when the stream is no longer ours."""
        while not self._writer.fenced.is_set():
            soft_s = self._plan.limits.soft_s
            quiet_s = self._clock() - self._heard_at
            if quiet_s >= soft_s:
                self._heard_at = self._clock()
                await self._writer.entry(WarnEntry("slow", f"No token for {soft_s:g} s; still trying."))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._writer.fenced.wait(), max(soft_s - quiet_s, 0.05))
        pump.cancel()

    async def _answer(self) -> None:
        open_mode, _ = MODES[self._plan.mode]
        why = "chosen"
        opening = await open_mode(self._plan, self._state, self._start)
        while True:
            finish = await self._speak(opening, why)
            if finish is not None:
                return await self._end(finish)
            self._state = with_ids(self._state, self._job.encode)
            if self._state.budget <= 0:
                return await self._end("length")
            why = "continued"
            lost = frozenset(self.outcome.tiers)
            opening = await open_continuation(
                self._plan, self._state, self._start, lost=lost, clock=self._clock, sleep=self._sleep
            )

    def _start(self, tier: Tier) -> Attempt:
        return Attempt(tier, self._state, self._attempt_id())

    async def _speak(self, opening: Opening, why: str) -> Finish | None:
        """Pump one tier until it finishes (returns why) or dies (returns None, state advanced as far as it got)."""
        attempt = opening.attempt
        self._waste += opening.waste_tokens
        self.outcome.failures += opening.failures
        self.outcome.tiers.append(attempt.tier.name)
        try:
            await self._writer.entry(_tier_entry(attempt.tier, self._state, opening, why))
            chunk = opening.first
            while True:
                await self._write(chunk)
                if chunk.finish is not None:
                    return chunk.finish
                chunk = await attempt.next(self._plan.limits.stall_s)
        except TierError as error:
            self.outcome.failures.append(error)
            return None
        finally:
            await attempt.abandon()

    async def _write(self, chunk: Chunk) -> None:
        self._heard_at = self._clock()
        if not self._first_token_s and (chunk.ids or chunk.text):
            self._first_token_s = self._heard_at - self._job.arrived_at
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not chunk.ids and not chunk.text:
            return
        seams = self._job.seams
        self._state = self._state.advanced(chunk.ids, chunk.text)
        await self._writer.tokens(chunk.n0, chunk.ids, seams.filter(seams.restore(chunk.text)))

    async def _end(self, finish: str) -> None:
        usage = Usage(
            self._usage.prompt_tokens or len(self._state.prompt_ids),
            len(self._state.output_ids) or self._usage.completion_tokens,
        )
        timings = Timings(self._first_token_s, self._clock() - self._job.arrived_at, self._waste)
        self.outcome.finish, self.outcome.usage, self.outcome.timings = finish, usage, timings
        await self._writer.end(EndEntry(finish, usage.prompt_tokens, usage.completion_tokens, timings))
        self._job.seams.bill(usage, self._waste)

    async def _give_up(self, error: EdgewiseError) -> None:
        """Keep the part that was said, say what went wrong, and end."""
        self.outcome.failures.append(error)
        await self._writer.entry(ErrorEntry(error.info()))
        await self._end("error")


def _tier_entry(tier: Tier, state: GenerationState, opening: Opening, why: str) -> TierEntry:
    capabilities = tier.capabilities
    model = capabilities.models[0] if capabilities.models else state.model
    reason = "fallback" if why == "chosen" and opening.failures else why
    return TierEntry(tier.name, tier.kind, model, capabilities.model_version, reason)
