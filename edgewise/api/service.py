"""AnswerService: from a checked chat request to a running answer, the same on a control plane and on a device."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec

from edgewise.api.host import Admission, Caller, Host
from edgewise.api.intake import ONLY_CHOICE, Choice, Intake, ServiceSettings, Snapshot
from edgewise.api.observing import tell_begin, tell_end
from edgewise.dialects.chat import ChatRequest
from edgewise.dialects.render import AnswerHeader
from edgewise.generation.state import GenerationState
from edgewise.ids import new_id
from edgewise.observability.observer import Observer
from edgewise.observability.trail import Trail
from edgewise.routing.plan import Plan
from edgewise.routing.runner import INTERRUPTED, Job, Outcome, Runner
from edgewise.routing.terms import bounded, fallback_step, spoken_by
from edgewise.streams.entries import CancelEntry, TierEntry, TokensEntry, decode_entry, encode_entry
from edgewise.streams.log import Claim, Head, Record, StreamLog
from edgewise.streams.tailer import Feed, TailerHub
from edgewise.wire.errors import (
    BadRequestError,
    EdgewiseError,
    ForbiddenError,
    LogUnavailableError,
    ShuttingDownError,
    StreamNotFoundError,
)

INLINE_CHARS = 20_000
TURN_TOKENS = 16
P = ParamSpec("P")
T = TypeVar("T")


_snapshot_decoder = msgspec.msgpack.Decoder(Snapshot)


class AnswerService:
    """Admits, decides, opens the stream and starts the runner; checks ownership for everything by stream id."""

    def __init__(
        self,
        host: Host,
        log: StreamLog,
        hub: TailerHub,
        runner: Runner,
        *,
        settings: ServiceSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        draw_seed: Callable[[], int] = lambda: secrets.randbits(63),
        stream_id: Callable[[], str] = new_id,
        observer: Observer | None = None,
    ) -> None:
        self.observer = observer or Observer()
        self.host = host
        self.log = log
        self.hub = hub
        self._runner = runner
        self._clock = clock
        self._intake = Intake(
            host, settings or ServiceSettings(), clock=clock, now=now, draw_seed=draw_seed, stream_id=stream_id
        )
        self._taking_up: set[str] = set()

    async def begin(
        self, caller: Caller, request: ChatRequest, *, sid: str = "", digest: str = "", choice: Choice = ONLY_CHOICE
    ) -> AnswerHeader:
        """Start an answer. Raises every error that a client can still get as an HTTP status: bad request, unknown
        model, too long, refused by policy, over a limit, log unavailable.

        `sid` is a fresh id that was promised to somebody already (ConflictError when its stream exists by now);
        `digest` is that of the request's body; `choice` says which of several answers to it this one is.
        """
        arrived_at = self._clock()
        trail = self.observer.arrived()
        taken = await self._intake.take(caller, request, trail, sid=sid, digest=digest, choice=choice)
        snapshot, header = taken.snapshot, taken.snapshot.header
        await self.host.reserve(caller, header.sid, taken.prompt_tokens, snapshot.state.max_tokens)
        try:
            claim = await self._runner.open(header.sid, owner=caller.key_id, request=msgspec.msgpack.encode(snapshot))
        except BaseException:
            self.host.release(header.sid)
            raise
        trail.opened()
        self.host.decided(Admission(header.sid, caller, request.model, taken.facts, taken.decision))
        self._start(snapshot, claim, snapshot.state, arrived_at, trail, whole=taken.whole)
        return header

    def _start(
        self,
        snapshot: Snapshot,
        claim: Claim,
        state: GenerationState,
        arrived_at: float,
        trail: Trail,
        *,
        resumed: bool = False,
        whole: bool = False,
    ) -> None:
        sid, family = snapshot.header.sid, self.host.family(state.model)
        tiers = self.host.tiers(snapshot.caller, model=family.name, device=snapshot.device)
        plan = Plan(
            mode=snapshot.mode,
            kinds=snapshot.kinds,
            tiers=tiers,
            limits=snapshot.limits,
            whole=whole,
            terms=snapshot.terms,
        )
        encode = family.tokenizer.encode if family.tokenizer else None
        feed = self.hub.feed(sid, claim.next_seq)
        job = Job(sid, claim, plan, state, arrived_at, encode, resumed=resumed, on_stored=feed.take, trail=trail)
        tell_begin(self.observer, trail, snapshot.header, snapshot.caller.key_id)
        self._runner.start(job, lambda outcome: self._ended(sid, feed, trail, outcome))

    def _ended(self, sid: str, feed: Feed, trail: Trail, outcome: Outcome) -> None:
        """Work on a stream is over here. One that is still open is told of by whoever ends it."""
        feed.close()
        tell_end(self.observer, trail, outcome)
        if outcome.finish == INTERRUPTED:
            self.hub.fail(sid, outcome.failures[-1] if outcome.failures else _interrupted(sid))
        elif outcome.finish == "fenced":
            self.host.release(sid)
        else:
            self.host.finished(sid, outcome)

    async def resume(self, sid: str) -> bool:
        """Take up a stream whose runner died, by the token ids in its log; False when it is being made here already.

        Raises FencedError when another runner was quicker, LogUnavailableError, and what the host says of a model or a
        device that is no longer there (the stream then ends with that error, so that no reader waits for ever).
        """
        if self._runner.is_making(sid) or sid in self._taking_up:
            return False
        self._taking_up.add(sid)
        try:
            await self._take_up(sid)
        finally:
            self._taking_up.discard(sid)
        return True

    async def _take_up(self, sid: str) -> None:
        """One at a time for each stream: the log lets the same holder claim again, so two would fence each other."""
        head = await self.log.head(sid)
        claim = await self._runner.claim(sid, seen_epoch=head.epoch)
        try:
            snapshot = _snapshot_decoder.decode(await self.log.request(sid))
            state = snapshot.state
            for record in await self._records(sid):
                entry = decode_entry(record.payload)
                if isinstance(entry, TokensEntry):
                    state = state.advanced(entry.ids, entry.text)
                elif isinstance(entry, TierEntry):
                    begun = state.output_ids or state.output_text
                    state = spoken_by(state, entry.model_version)
                    state = state if begun else bounded(state, fallback_step(snapshot.terms, entry.kind))
            trail = self.observer.resume(snapshot.header.trace, snapshot.header.created)
            self._start(snapshot, claim, state, self._clock(), trail, resumed=True)
        except (BadRequestError, ForbiddenError, msgspec.MsgspecError) as error:
            await self._runner.abandon(sid, claim, error if isinstance(error, EdgewiseError) else _unreadable(sid))
            self.host.finished(sid, Outcome())

    async def _records(self, sid: str) -> list[Record]:
        records: list[Record] = []
        while page := await self.log.read(sid, after=len(records) - 1):
            records += page
        return records

    # What is asked of a stream by its id -------------------------------------------------------------------------

    async def head(self, caller: Caller, sid: str) -> Head:
        """Where a stream stands. A stream of another key is as unknown as one that never was."""
        head = await self.log.head(sid)
        if head.owner != caller.key_id:
            raise unknown_stream(sid)
        return head

    async def header(self, sid: str) -> AnswerHeader:
        """What rendering needs; check ownership first."""
        return (await self.snapshot(sid)).header

    async def snapshot(self, sid: str) -> Snapshot:
        """The request of a stream; check ownership first."""
        return _snapshot_decoder.decode(await self.log.request(sid))

    async def cancel(self, caller: Caller, sid: str) -> Head:
        """Stop an answer: when this returns, nothing will follow in the log. Idempotent."""
        return await self._cancel(await self.head(caller, sid), sid, by="client")

    async def cancel_any(self, sid: str) -> Head:
        """The same for an operator, who owns no stream. Raises StreamNotFoundError."""
        return await self._cancel(await self.log.head(sid), sid, by="operator")

    async def _cancel(self, before: Head, sid: str, *, by: str) -> Head:
        """An answer that is made elsewhere is told of here, too: its maker may be dead, and what is told twice counts
        once."""
        made_here = self._runner.is_making(sid)
        await self.log.cancel(sid, payload=encode_entry(CancelEntry(by)))
        after = await self.log.head(sid)
        if made_here:
            self._runner.stop_answer(sid)
        elif before.status == "open" and after.status == "cancelled":
            self.host.finished(sid, Outcome("cancelled"))
        return after


def _interrupted(sid: str) -> ShuttingDownError:
    return ShuttingDownError(
        f"Stream {sid} is interrupted: this process is shutting down",
        remedy="read on from your last cursor in a moment; the answer goes on",
        retry_after_s=1.0,
    )


def _unreadable(sid: str) -> LogUnavailableError:
    return LogUnavailableError(f"The request of stream {sid} cannot be read", remedy="ask again")


def unknown_stream(sid: str) -> EdgewiseError:
    """The error for a stream that does not exist, has been forgotten, or belongs to another key."""
    return StreamNotFoundError(
        f"There is no stream {sid[:40]!r} for this key",
        where="stream id",
        remedy="use the key that opened the stream, or ask again: ended streams are forgotten after a while",
    )
