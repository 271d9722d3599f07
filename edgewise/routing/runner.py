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
from edgewise.routing.modes.base import Opening, nobody_left
from edgewise.routing.plan import Plan
from edgewise.routing.seams import Seams
from edgewise.routing.tier import Chunk, Finish, Tier, Usage
from edgewise.streams.entries import EndEntry, ErrorEntry, TierEntry, Timings, WarnEntry
from edgewise.streams.log import Claim, StreamLog
from edgewise.streams.writer import OnStored, StreamWriter
from edgewise.wire.errors import (
    EdgewiseError,
    FencedError,
    LogUnavailableError,
    ShuttingDownError,
    TierError,
    TierTimeoutError,
)

logger = logging.getLogger(__name__)
FRUITLESS_MAX = 5
"""Hand-offs in a row that bring no token before an answer is given up."""
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Job:
    """One answer to make: the stream and its claim, the plan, and the state to start from.

    A `resumed` answer was begun by a runner that is gone; it waits a while for a tier instead of giving up at once.
    `on_stored` hears of the records that the log has confirmed.
    """

    sid: str
    claim: Claim
    plan: Plan
    state: GenerationState
    arrived_at: float
    encode: Encode | None = None
    resumed: bool = False
    on_stored: OnStored = lambda records: None
    seams: Seams = field(default_factory=Seams)


@dataclass
class Outcome:
    """How an answer ended, for the decision record; no text in it.

    Beside the finishes of tiers: `error` (ended with one), `cancelled`; and `fenced` (another runner has it) and
    `interrupted` (this runner had to stop), after which the stream is still open and somebody else will end it.
    """

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
        self._draining = False

    async def open(self, sid: str, *, owner: str, request: bytes) -> Claim:
        """Create the stream and claim its first epoch. Raises ShuttingDownError once `drain` was called."""
        self._refuse_while_draining()
        opened = self._log.create(sid, owner=owner, request=request), self.claim(sid, seen_epoch=0)
        created, claimed = await asyncio.gather(*opened, return_exceptions=True)  # in this order, in one round trip
        for outcome in (created, claimed):
            if isinstance(outcome, BaseException):
                raise outcome
        assert isinstance(claimed, Claim)
        return claimed

    async def claim(self, sid: str, *, seen_epoch: int) -> Claim:
        """Claim the epoch after `seen_epoch`. Raises FencedError when somebody else has it, ShuttingDownError."""
        self._refuse_while_draining()
        return await self._log.claim(sid, holder=self._holder, lease_s=self._lease_s, seen_epoch=seen_epoch)

    async def abandon(self, sid: str, claim: Claim, error: EdgewiseError) -> None:
        """End a claimed stream that nobody can go on with."""
        async with StreamWriter(self._log, sid, claim, lease_s=self._lease_s) as writer:
            await writer.entry(ErrorEntry(error.info()))
            await writer.end(EndEntry("error", 0, 0))

    def start(self, job: Job, on_end: Callable[[Outcome], None]) -> None:
        """Make the answer in the background; `on_end` is called once when the work on it is over."""
        task = asyncio.create_task(self._run_to_end(job, on_end), name=f"answer-{job.sid}")
        self._tasks[job.sid] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.sid, None))

    @property
    def running(self) -> int:
        """Answers being made now."""
        return len(self._tasks)

    def is_making(self, sid: str) -> bool:
        """Whether this runner is at work on a stream."""
        return sid in self._tasks

    def stop_answer(self, sid: str) -> None:
        """Stop working on a stream that was cancelled in the log, without waiting for the next append to say so."""
        if task := self._tasks.get(sid):
            task.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Take no new answers and let the running ones end; those that do not are stopped, and their lease runs out
        for others to take."""
        self._draining = True
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
        except (FencedError, asyncio.CancelledError):
            answering.outcome.finish = await self._fate(job.sid)
        except LogUnavailableError as error:
            answering.outcome.finish = INTERRUPTED
            answering.outcome.failures.append(error)
            logger.error("token log unavailable in mid-answer: %s", error, extra={"stream": job.sid})
        finally:
            on_end(answering.outcome)

    async def _fate(self, sid: str) -> str:
        """What became of a stream that was taken out of our hands, by a cancel, another claim or our own drain."""
        try:
            status = (await self._log.head(sid)).status
        except EdgewiseError as error:
            logger.warning("a stopped stream cannot be looked at: %s", error, extra={"stream": sid})
            status = "open"
        if status == "cancelled":
            return "cancelled"
        return INTERRUPTED if self._draining else "fenced"

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise ShuttingDownError("This process is shutting down", remedy="try again", retry_after_s=1.0)


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
        self._plan = job.plan
        self._clock = clock
        self._sleep = sleep
        self._attempt_id = attempt_id
        self._state = job.seams.redact(job.state)
        self._writer = StreamWriter(log, job.sid, job.claim, lease_s=lease_s, on_stored=job.on_stored)
        self._first_token_s = 0.0
        self._waste = 0
        self._tail = ""
        self._usage = Usage()
        self._heard_at = clock()

    async def run(self) -> None:
        """Make it to its end. Raises FencedError and LogUnavailableError; every other fault ends the answer."""
        async with self._writer:
            await self._answer_or_give_up()

    async def _answer_or_give_up(self) -> None:
        pump = asyncio.current_task()
        assert pump is not None
        watch = asyncio.create_task(self._watch(pump))
        try:
            async with asyncio.timeout(self._plan.limits.total_s):
                await self._answer()
        except TimeoutError:
            await self._give_up(TierTimeoutError("The answer took longer than its total time limit"))
        except (FencedError, LogUnavailableError):
            raise
        except EdgewiseError as error:
            await self._give_up(error)
        except Exception:
            logger.exception("an answer met a fault of ours", extra={"stream": self._job.sid})
            await self._give_up(EdgewiseError("The answer met an internal error", remedy="ask again"))
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
                await self._warn(f"No token for {soft_s:g} s; still trying.")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._writer.fenced.wait(), max(soft_s - quiet_s, 0.05))
        pump.cancel()

    async def _warn(self, message: str) -> None:
        """A warning that cannot be written is none the less of no interest to the watch."""
        with suppress(FencedError, LogUnavailableError):
            await self._writer.entry(WarnEntry("slow", message))

    async def _answer(self) -> None:
        finish = None if self._job.resumed else await self._speak(await self._open(), "chosen")
        fruitless = 0
        while finish is None:
            self._state = with_ids(self._state, self._job.encode)
            if self._state.budget <= 0:
                finish = "length"
                continue
            said = self._state.output_text, self._state.output_ids
            finish = await self._speak(await self._reopen(), "continued")
            fruitless = fruitless + 1 if said == (self._state.output_text, self._state.output_ids) else 0
            if finish is None and fruitless >= FRUITLESS_MAX:
                raise nobody_left(self._plan, self.outcome.failures[-FRUITLESS_MAX:])
        await self._end(finish)

    async def _open(self) -> Opening:
        open_mode, _ = MODES[self._plan.mode]
        return await open_mode(self._plan, self._state, self._start)

    async def _reopen(self) -> Opening:
        lost = frozenset(self.outcome.tiers)
        return await open_continuation(
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
            self._writer.hold(_tier_entry(attempt.tier, self._state, opening, why))
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
        seams = self._job.seams
        text = seams.filter(seams.restore(chunk.text)) if chunk.text else ""
        if chunk.finish is not None and not chunk.ids:
            self._tail = text
        elif chunk.ids or chunk.text:
            self._state = self._state.advanced(chunk.ids, chunk.text)
            await self._writer.tokens(chunk.n0, chunk.ids, text)

    async def _end(self, finish: str) -> None:
        usage = Usage(
            self._usage.prompt_tokens or len(self._state.prompt_ids),
            len(self._state.output_ids) or self._usage.completion_tokens,
        )
        timings = Timings(self._first_token_s, self._clock() - self._job.arrived_at, self._waste)
        self.outcome.finish, self.outcome.usage, self.outcome.timings = finish, usage, timings
        await self._writer.end(EndEntry(finish, usage.prompt_tokens, usage.completion_tokens, timings, self._tail))
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
