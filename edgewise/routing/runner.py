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

import msgspec

from edgewise.generation.state import GenerationState
from edgewise.ids import new_id
from edgewise.observability.trail import Trail, unobserved
from edgewise.routing.attempt import Attempt
from edgewise.routing.handoff import Encode, Sleep, open_continuation, with_ids
from edgewise.routing.modes import MODES
from edgewise.routing.modes.base import Opening, nobody_left
from edgewise.routing.modes.ordered import open_ordered
from edgewise.routing.plan import Plan
from edgewise.routing.seams import Seams
from edgewise.routing.silence import SilenceWatch
from edgewise.routing.terms import bounded, spoken_by
from edgewise.routing.tier import Chunk, Finish, Tier, Usage
from edgewise.routing.uninterrupted import to_its_end
from edgewise.streams.entries import EndEntry, ErrorEntry, ProbabilitiesEntry, TierEntry, Timings, WarnEntry
from edgewise.streams.log import Claim, StreamLog
from edgewise.streams.writer import OnStored, StreamWriter
from edgewise.wire.errors import (
    EdgewiseError,
    FencedError,
    LogUnavailableError,
    NoTierError,
    ShuttingDownError,
    TierError,
    TierRefusedError,
    TierTimeoutError,
)
from policies import StepTerms

logger = logging.getLogger(__name__)
FRUITLESS_MAX = 5
"""Hand-offs in a row that bring no token before an answer is given up."""
INTERRUPTED = "interrupted"


class Job(msgspec.Struct, frozen=True):
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
    seams: Seams = Seams()
    trail: Trail = msgspec.field(default_factory=unobserved)


@dataclass
class Outcome:
    """How an answer ended, for the decision record; no text in it.

    Beside the finishes of tiers: `error` (ended with one), `cancelled`; and `fenced` (another runner has it) and
    `interrupted` (this runner had to stop), after which the stream is still open and somebody else will end it.
    `points` holds the seconds at the five latency points.
    """

    finish: str = "error"
    tiers: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    failures: list[EdgewiseError] = field(default_factory=list)
    points: dict[str, float] = field(default_factory=dict)


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
        self._drained = False

    async def open(self, sid: str, *, owner: str, request: bytes) -> Claim:
        """Create the stream and claim its first epoch. Raises ShuttingDownError once `drain` was called."""
        self._refuse_while_draining()
        return await self._log.open(sid, owner=owner, request=request, holder=self._holder, lease_s=self._lease_s)

    async def claim(self, sid: str, *, seen_epoch: int) -> Claim:
        """Claim the epoch after `seen_epoch`. Raises FencedError when somebody else has it, ShuttingDownError."""
        self._refuse_while_draining()
        return await self._log.claim(sid, holder=self._holder, lease_s=self._lease_s, seen_epoch=seen_epoch)

    async def abandon(self, sid: str, claim: Claim, error: EdgewiseError) -> None:
        """End a claimed stream that nobody can go on with."""
        async with StreamWriter(self._log, sid, claim, lease_s=self._lease_s) as writer:
            writer.hold(ErrorEntry(error.info()))
            await writer.end(EndEntry("error", 0, 0))

    def start(self, job: Job, on_end: Callable[[Outcome], None]) -> None:
        """Make the answer in the background; `on_end` is called once when the work on it is over."""
        task = asyncio.create_task(self._run_to_end(job, on_end), name=f"answer-{job.sid}")
        self._tasks[job.sid] = task
        task.add_done_callback(lambda _: self._forget(job.sid, task))

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
        """Take no new answers and let the running ones end; those that do not, and those whose stream was just being
        opened, are stopped, and their lease is given up for others to take at once."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)
        self._drained = True
        late = list(self._tasks.values())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _forget(self, sid: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(sid) is task:
            del self._tasks[sid]

    async def _run_to_end(self, job: Job, on_end: Callable[[Outcome], None]) -> None:
        answering = _Answering(job, self._log, self._lease_s, self._clock, self._sleep, self._attempt_id)
        try:
            if self._drained:
                raise asyncio.CancelledError
            await answering.run()
        except (FencedError, asyncio.CancelledError):
            answering.outcome.finish = await to_its_end(self._fate(job, answering.outcome.finish))
        except LogUnavailableError as error:
            answering.outcome.finish = INTERRUPTED
            answering.outcome.failures.append(error)
            logger.error("token log unavailable in mid-answer: %s", error, extra={"stream": job.sid})
        finally:
            on_end(answering.outcome)

    async def _fate(self, job: Job, written: str) -> str:
        """What became of a stream that was taken out of our hands, by a cancel, another claim or our own drain; in a
        drain its lease is given up. `written` is the finish of an end that may have been on its way."""
        try:
            if self._draining:
                await self._log.release(job.sid, epoch=job.claim.epoch)
            head = await self._log.head(job.sid)
        except EdgewiseError as error:
            logger.warning("a stopped stream cannot be looked at: %s", error, extra={"stream": job.sid})
            return INTERRUPTED if self._draining else "fenced"
        if head.status == "cancelled":
            return "cancelled"
        if head.status == "done":
            return written if head.epoch == job.claim.epoch else "fenced"
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
        self._trail = job.trail
        self._clock = clock
        self._sleep = sleep
        self._attempt_id = attempt_id
        self._state = job.seams.redact(job.state)
        self._writer = StreamWriter(
            log,
            job.sid,
            job.claim,
            lease_s=lease_s,
            on_stored=job.on_stored,
            on_waited=job.trail.appended,
            on_fenced=self._stop,
        )
        self._first_token_s = 0.0
        self._waste = 0
        self._tail = ""
        self._usage = Usage()
        self._earlier_tokens = 0
        self._silence = SilenceWatch(job.plan.limits.soft_s, self._warn, clock=clock)
        self._pump: asyncio.Task[object] | None = None
        self._tries: list[Attempt] = []

    async def run(self) -> None:
        """Make it to its end. Raises FencedError and LogUnavailableError; every other fault ends the answer."""
        self._pump = asyncio.current_task()
        async with self._writer:
            await self._answer_or_give_up()

    async def _answer_or_give_up(self) -> None:
        try:
            async with self._silence, asyncio.timeout(self._plan.limits.total_s):
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

    def _stop(self) -> None:
        """The stream is no longer ours. A pump that is just being told so by the writer stops by itself."""
        if self._pump is not None and self._pump is not asyncio.current_task():
            self._pump.cancel()

    async def _warn(self) -> None:
        """Tell the reader of a long silence; a warning that cannot be written changes nothing."""
        with suppress(FencedError, LogUnavailableError):
            await self._writer.entry(WarnEntry("slow", f"No token for {self._plan.limits.soft_s:g} s; still trying."))

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
        self._plan.check_grammars(self._state)
        open_mode, _ = MODES[self._plan.mode]
        try:
            return await open_mode(self._plan, self._state, self._start)
        except NoTierError:
            names = {each.tier.name for each in self._tries if _would_alone(each)}
            if not names:
                raise
            failures = [each.failure for each in self._tries if each.failure is not None]
            with suppress(NoTierError):
                opening = await open_ordered(_among(self._plan, names), self._state, self._start)
                opening.failures = [*failures, *opening.failures]
                return opening
            raise

    async def _reopen(self) -> Opening:
        lost = frozenset(self.outcome.tiers)
        return await open_continuation(
            self._plan, self._state, self._start, lost=lost, clock=self._clock, sleep=self._sleep
        )

    def _start(self, tier: Tier) -> Attempt:
        attempt = self._attempt_id()
        leg = self._trail.leg(attempt, tier.name, tier.kind)
        state = bounded(self._state, self._step(tier))
        failed = (each.tier.name for each in self._tries if each.failure is not None)
        if not self._plan.candidates(state, frozenset({tier.name, *failed})):
            state = msgspec.structs.replace(state, alone=True)
        self._tries.append(Attempt(tier, state, attempt, leg, whole=self._plan.whole))
        return self._tries[-1]

    def _step(self, tier: Tier) -> StepTerms | None:
        """What the policy asks of a fallback that begins the answer; who goes on with one that has begun is none."""
        begun = self._state.output_ids or self._state.output_text
        return None if begun else self._plan.fallback(tier.kind)

    async def _speak(self, opening: Opening, why: str) -> Finish | None:
        """Pump one tier until it finishes (returns why) or dies (returns None, state advanced as far as it got)."""
        attempt = opening.attempt
        step = self._step(attempt.tier)
        self._state = spoken_by(bounded(self._state, step), attempt.tier.capabilities.model_version)
        self._waste += opening.waste_tokens
        self.outcome.failures += opening.failures
        self._earlier_tokens = len(self._state.output_ids) or self._earlier_tokens
        self.outcome.tiers.append(attempt.tier.name)
        if (watch := self._trail.watch) is not None:
            watch.moved(attempt.tier.load().rtt_ms)
        try:
            self._writer.hold(_tier_entry(attempt.tier, self._state, why if step is None else "fallback", opening))
            if step is not None and step.reason:
                self._writer.hold(WarnEntry("fallback", step.reason))
            chunk = opening.first
            while True:
                await self._write(chunk)
                if chunk.finish is not None:
                    return chunk.finish
                chunk = await attempt.next(self._plan.limits.stall_s)
        except TierError as error:
            self.outcome.failures.append(error)
            self._earlier_tokens += attempt.tokens
            return None
        finally:
            await attempt.abandon()

    async def _write(self, chunk: Chunk) -> None:
        heard_at = self._silence.heard()
        if not self._first_token_s and (chunk.ids or chunk.text):
            self._first_token_s = heard_at - self._job.arrived_at
        if chunk.usage is not None:
            self._usage = chunk.usage
        seams = self._job.seams
        text = seams.filter(seams.restore(chunk.text)) if chunk.text else ""
        if chunk.finish is not None and not chunk.ids:
            self._tail = text
        elif chunk.ids or chunk.text:
            self._state = self._state.advanced(chunk.ids, chunk.text)
            if (watch := self._trail.watch) is not None:
                watch.said(chunk.ids)
            if chunk.ids and chunk.probabilities:
                self._writer.hold(ProbabilitiesEntry(chunk.n0, tuple(each.logprob for each in chunk.probabilities)))
            await self._writer.tokens(chunk.n0, chunk.ids, text)

    async def _end(self, finish: str) -> None:
        usage = self._whole_usage()
        timings = Timings(self._first_token_s, self._clock() - self._job.arrived_at, self._waste)
        self.outcome.finish, self.outcome.usage, self.outcome.timings = finish, usage, timings
        await self._writer.end(EndEntry(finish, usage.prompt_tokens, usage.completion_tokens, timings, self._tail))
        self._job.seams.bill(usage, self._waste)

    def _whole_usage(self) -> Usage:
        """Of all tiers together: for the last one the answer so far was part of its prompt."""
        told, earlier, ours = self._usage, self._earlier_tokens, len(self._state.prompt_ids)
        prompt = ours or max(0, told.prompt_tokens - earlier) if earlier else told.prompt_tokens or ours
        return Usage(prompt, max(len(self._state.output_ids), earlier + told.completion_tokens))

    async def _give_up(self, error: EdgewiseError) -> None:
        """Keep the part that was said, say what went wrong, and end."""
        self.outcome.failures.append(error)
        self._writer.hold(ErrorEntry(error.info()))  # in one step with the end: who resumes never finds it alone
        await self._end("error")


def _would_alone(attempt: Attempt) -> bool:
    """Whether a device refused what it takes where nobody else can: it was asked while somebody else could, and that
    one has failed since."""
    return attempt.tier.kind == "edge" and isinstance(attempt.failure, TierRefusedError) and not attempt.state.alone


def _among(plan: Plan, names: set[str]) -> Plan:
    return msgspec.structs.replace(plan, tiers=lambda kind: [tier for tier in plan.tiers(kind) if tier.name in names])


def _tier_entry(tier: Tier, state: GenerationState, why: str, opening: Opening) -> TierEntry:
    capabilities = tier.capabilities
    model = capabilities.models[0] if capabilities.models else state.model
    reason = "fallback" if why == "chosen" and opening.failures else why
    return TierEntry(tier.name, tier.kind, model, capabilities.model_version, reason)
