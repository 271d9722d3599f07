"""AnswerService: from a checked chat request to a running answer, the same on a control plane and on a device."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import msgspec

from edgewise.api.host import Admission, Caller, Facts, Family, Host
from edgewise.dialects.chat import ChatRequest, messages_of, sampling_of, stops_of
from edgewise.dialects.render import AnswerHeader
from edgewise.facts import RequestFacts, declare, estimate
from edgewise.facts.request import UnknownSensitivityError
from edgewise.facts.sensitivity import SENSITIVITIES, rank
from edgewise.generation.state import GenerationState, Message
from edgewise.ids import new_id
from edgewise.routing.modes import MODES
from edgewise.routing.plan import Limits, Plan
from edgewise.routing.runner import INTERRUPTED, Job, Outcome, Runner
from edgewise.routing.tier import TierKind
from edgewise.streams.entries import CancelEntry, TokensEntry, decode_entry, encode_entry
from edgewise.streams.log import Claim, Head, Record, StreamLog
from edgewise.streams.tailer import Feed, TailerHub
from edgewise.wire.errors import (
    BadRequestError,
    EdgewiseError,
    ForbiddenError,
    LogUnavailableError,
    MessageTooLongError,
    RefusedByPolicyError,
    ShuttingDownError,
    StreamNotFoundError,
)
from policies import Decision

INLINE_CHARS = 20_000
P = ParamSpec("P")
T = TypeVar("T")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The immutable request of a stream, kept in the log: all that a later runner or reader needs.

    `digest` is that of the request's body, by which a repeated request is known; empty where nobody gave one.
    """

    header: AnswerHeader
    state: GenerationState
    caller: Caller
    device: str
    mode: str
    kinds: tuple[TierKind, ...]
    limits: Limits
    digest: str = ""


_snapshot_decoder = msgspec.msgpack.Decoder(Snapshot)


@dataclass(frozen=True)
class ServiceSettings:
    """Seconds, except `max_tokens_default`: the answer's length where the client gave none."""

    max_tokens_default: int = 512
    limits: Limits = field(default_factory=Limits)


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
    ) -> None:
        self.host = host
        self.log = log
        self.hub = hub
        self._runner = runner
        self._settings = settings or ServiceSettings()
        self._clock = clock
        self._now = now
        self._draw_seed = draw_seed
        self._stream_id = stream_id

    async def begin(
        self, caller: Caller, request: ChatRequest, *, sid: str = "", digest: str = ""
    ) -> AnswerHeader:
        """Start an answer. Raises every error that a client can still get as an HTTP status: bad request, unknown
        model, too long, refused by policy, log unavailable.

        `sid` is a fresh id that was promised to somebody already (ConflictError when its stream exists by now);
        `digest` is that of the request's body.
        """
        arrived_at = self._clock()
        _check_mode(request.edgewise.mode)
        messages = messages_of(request)
        family = self.host.family(request.model)
        prompt_ids = await _off_loop(messages, _encode, family, messages)
        room = self._room(family, len(prompt_ids))
        known = await _off_loop(messages, _estimate, request, messages)
        facts = self._facts(caller, request, known, len(prompt_ids), family)
        decision = self.host.decide(facts)
        if decision.mode == "refuse":
            raise _refusal(decision)
        header = self._header(request, decision, sid or self._stream_id())
        snapshot = Snapshot(
            header=header,
            state=self._state(request, messages, prompt_ids, family, room, local_only=_stays_here(facts)),
            caller=caller,
            device=request.edgewise.device,
            mode=str(decision.mode),
            kinds=_kinds(decision),
            limits=self._limits(decision),
            digest=digest,
        )
        claim = await self._runner.open(header.sid, owner=caller.key_id, request=msgspec.msgpack.encode(snapshot))
        self.host.decided(Admission(header.sid, caller, request.model, facts, decision))
        self._start(snapshot, claim, snapshot.state, arrived_at)
        return header

    def _start(
        self, snapshot: Snapshot, claim: Claim, state: GenerationState, arrived_at: float, *, resumed: bool = False
    ) -> None:
        sid, family = snapshot.header.sid, self.host.family(state.model)
        tiers = self.host.tiers(snapshot.caller, model=family.name, device=snapshot.device)
        plan = Plan(mode=snapshot.mode, kinds=snapshot.kinds, tiers=tiers, limits=snapshot.limits)
        encode = family.tokenizer.encode if family.tokenizer else None
        feed = self.hub.feed(sid, claim.next_seq)
        job = Job(sid, claim, plan, state, arrived_at, encode, resumed=resumed, on_stored=feed.take)
        self._runner.start(job, lambda outcome: self._ended(sid, feed, outcome))

    def _ended(self, sid: str, feed: Feed, outcome: Outcome) -> None:
        """Work on a stream is over here. One that is still open is told of by whoever ends it."""
        feed.close()
        if outcome.finish == INTERRUPTED:
            self.hub.fail(sid, outcome.failures[-1] if outcome.failures else _interrupted(sid))
        elif outcome.finish != "fenced":
            self.host.finished(sid, outcome)

    async def resume(self, sid: str) -> bool:
        """Take up a stream whose runner died, by the token ids in its log; False when it is being made here already.

        Raises FencedError when another runner was quicker, LogUnavailableError, and what the host says of a model or a
        device that is no longer there (the stream then ends with that error, so that no reader waits for ever).
        """
        if self._runner.is_making(sid):
            return False
        head = await self.log.head(sid)
        claim = await self._runner.claim(sid, seen_epoch=head.epoch)
        try:
            snapshot = _snapshot_decoder.decode(await self.log.request(sid))
            state = snapshot.state
            for record in await self._records(sid):
                entry = decode_entry(record.payload)
                if isinstance(entry, TokensEntry):
                    state = state.advanced(entry.ids, entry.text)
            self._start(snapshot, claim, state, self._clock(), resumed=True)
        except (BadRequestError, ForbiddenError, msgspec.MsgspecError) as error:
            await self._runner.abandon(sid, claim, error if isinstance(error, EdgewiseError) else _unreadable(sid))
            self.host.finished(sid, Outcome())
        return True

    async def _records(self, sid: str) -> list[Record]:
        records: list[Record] = []
        while page := await self.log.read(sid, after=len(records) - 1):
            records += page
        return records

    def _facts(
        self, caller: Caller, request: ChatRequest, known: RequestFacts, prompt_tokens: int, family: Family
    ) -> dict[str, Any]:
        facts = self.host.facts(caller, request)
        facts |= known.as_facts()
        max_tokens = request.budget or self._settings.max_tokens_default
        return facts | {
            "request.origin": self.host.origin,
            "request.tenant": caller.tenant,
            "request.user_tier": caller.user_tier,
            "request.model": family.name,
            "request.wants_mode": request.edgewise.mode,
            "request.wants_device": request.edgewise.device,
            "request.prompt_tokens": prompt_tokens,
            "request.context_tokens": prompt_tokens + max_tokens,
            "request.max_tokens": max_tokens,
        }

    def _header(self, request: ChatRequest, decision: Decision, sid: str) -> AnswerHeader:
        return AnswerHeader(
            sid=sid,
            created=int(self._now()),
            model=request.model,
            include_usage=request.include_usage,
            mode=str(decision.mode),
            rule=decision.rule_id,
            reason=decision.reason,
            policy=decision.policy_digest[:12],
        )

    def _state(
        self,
        request: ChatRequest,
        messages: tuple[Message, ...],
        prompt_ids: tuple[int, ...],
        family: Family,
        room: int | None,
        *,
        local_only: bool,
    ) -> GenerationState:
        tokenizer = family.tokenizer
        wanted = request.budget or self._settings.max_tokens_default
        sampling = sampling_of(request)
        if tokenizer and any(token >= tokenizer.vocab_size for token in sampling.logit_bias):
            raise BadRequestError(
                "A key of logit_bias is beyond the vocabulary",
                where="logit_bias",
                expected=f"token ids below {tokenizer.vocab_size}",
            )
        return GenerationState(
            prompt_ids=prompt_ids,
            messages=messages,
            model=request.model,
            max_tokens=wanted if room is None else min(wanted, room),
            seed=self._draw_seed() if request.seed is None else request.seed,
            sampling=sampling,
            stops=stops_of(request),
            eos_ids=tokenizer.eos_ids if tokenizer else (),
            tokenizer_digest=tokenizer.digest if tokenizer else "",
            template_digest=tokenizer.template_digest if tokenizer else "",
            local_only=local_only,
        )

    def _room(self, family: Family, prompt_tokens: int) -> int | None:
        """Tokens that the context leaves for an answer; None where nobody knows. Raises MessageTooLongError."""
        if family.tokenizer is None:
            return None
        room = family.context_tokens - prompt_tokens
        if room < 1:
            raise MessageTooLongError(
                f"The messages make {prompt_tokens} tokens; {family.name} reads {family.context_tokens}",
                where="messages",
                expected=f"fewer than {family.context_tokens} tokens with room for an answer",
                remedy="shorten the conversation or drop its oldest turns",
            )
        return room

    def _limits(self, decision: Decision) -> Limits:
        base, timeouts = self._settings.limits, decision.timeouts
        return Limits(timeouts.first_token_s or base.first_token_s, base.stall_s, base.soft_s, timeouts.total_s)

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
        before = await self.head(caller, sid)
        await self.log.cancel(sid, payload=encode_entry(CancelEntry("client")))
        after = await self.log.head(sid)
        if self._runner.is_making(sid):
            self._runner.stop_answer(sid)
        elif before.status == "open" and after.status == "cancelled":  # an orphan: nobody else will tell its end
            self.host.finished(sid, Outcome("cancelled"))
        return after


def _kinds(decision: Decision) -> tuple[TierKind, ...]:
    """The tier kinds that may speak: those of the mode, then those of its fallbacks."""
    kinds: list[TierKind] = []
    for mode in (decision.mode, *(mode for mode in decision.fallback if mode != "refuse")):
        _, speaking = MODES[str(mode)]
        kinds += [kind for kind in speaking if kind not in kinds]
    return tuple(kinds)


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


async def _off_loop(messages: tuple[Message, ...], work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run `work` here when the messages are short, else in a thread: long ones would hold up everybody's tokens."""
    if sum(len(message.content) for message in messages) > INLINE_CHARS:
        return await asyncio.to_thread(work, *args, **named)
    return work(*args, **named)


def _encode(family: Family, messages: tuple[Message, ...]) -> tuple[int, ...]:
    return family.tokenizer.encode_chat(messages) if family.tokenizer else ()


def _check_mode(wish: str) -> None:
    if wish and wish not in MODES:
        raise BadRequestError(
            f"There is no mode {wish[:40]!r}", where="edgewise.mode", expected=f"one of {', '.join(MODES)}, or none"
        )


def _estimate(request: ChatRequest, messages: tuple[Message, ...]) -> RequestFacts:
    turns = [(message.role, message.content) for message in messages]
    facts = estimate(turns, tools=bool(request.tools), max_tokens=request.budget)
    wish = request.edgewise.sensitivity
    try:
        return declare(facts, wish) if wish else facts
    except UnknownSensitivityError as error:
        raise BadRequestError(
            f"The declared sensitivity {wish[:40]!r} is unknown",
            where="edgewise.sensitivity",
            expected=f"one of {', '.join(SENSITIVITIES)}",
        ) from error


def _refusal(decision: Decision) -> RefusedByPolicyError:
    return RefusedByPolicyError(
        f"The policy refuses this request: {decision.reason}",
        where=f"rule {decision.rule_id} of policy {decision.policy_name}",
        remedy="change the request, or ask an operator to change the policy",
    )


def _stays_here(facts: Facts) -> bool:
    """Privacy by origin: a sensitive prompt that starts on a device never leaves it."""
    return facts["request.origin"] == "device" and rank(str(facts["request.sensitivity"])) >= rank("personal")
