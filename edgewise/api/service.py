"""AnswerService: from a checked chat request to a running answer, the same on a control plane and on a device."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgewise.api.host import Admission, Caller, Facts, Family, Host
from edgewise.dialects.chat import ChatRequest, messages_of, sampling_of, stops_of
from edgewise.dialects.render import AnswerHeader
from edgewise.facts import RequestFacts, declare, estimate
from edgewise.facts.request import UnknownSensitivityError
from edgewise.facts.sensitivity import SENSITIVITIES
from edgewise.generation.state import GenerationState, Message
from edgewise.ids import new_id
from edgewise.routing.modes import MODES
from edgewise.routing.plan import Limits, Plan, TierSource
from edgewise.routing.runner import Job, Runner
from edgewise.routing.tier import TierKind
from edgewise.streams.entries import CancelEntry, encode_entry
from edgewise.streams.log import Head, StreamLog
from edgewise.streams.tailer import TailerHub
from edgewise.wire.errors import (
    BadRequestError,
    EdgewiseError,
    MessageTooLongError,
    RefusedByPolicyError,
    StreamNotFoundError,
)
from policies import Decision

INLINE_ENCODE_CHARS = 20_000


class Snapshot(msgspec.Struct, frozen=True):
    """The immutable request of a stream, kept in the log: all that a later runner or reader needs."""

    header: AnswerHeader
    state: GenerationState
    mode: str
    kinds: tuple[TierKind, ...]
    tenant: str
    wants_device: str = ""


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

    async def begin(self, caller: Caller, request: ChatRequest) -> AnswerHeader:
        """Start an answer. Raises every error that a client can still get as an HTTP status: bad request, unknown
        model, too long, refused by policy, log unavailable."""
        arrived_at = self._clock()
        messages = messages_of(request)
        family = self.host.family(request.model)
        prompt_ids = await _encode(family, messages)
        facts = self._facts(caller, request, messages, len(prompt_ids), family)
        decision = self.host.decide(facts)
        if decision.mode == "refuse":
            raise _refusal(decision)
        header = self._header(request, decision)
        admission = Admission(header.sid, caller, request.model, facts, decision)
        state = self._state(request, messages, prompt_ids, family, local_only=_stays_here(facts))
        plan = self._plan(decision, self.host.tiers(caller, request))
        await self._launch(admission, header, state, plan, family, request.edgewise.device, arrived_at)
        return header

    async def _launch(
        self,
        admission: Admission,
        header: AnswerHeader,
        state: GenerationState,
        plan: Plan,
        family: Family,
        wants_device: str,
        arrived_at: float,
    ) -> None:
        caller = admission.caller
        snapshot = Snapshot(header, state, plan.mode, plan.kinds, caller.tenant, wants_device)
        claim = await self._runner.open(header.sid, owner=caller.key_id, request=msgspec.msgpack.encode(snapshot))
        self.host.decided(admission)
        encode = family.tokenizer.encode if family.tokenizer else None
        job = Job(header.sid, claim, plan, state, arrived_at, encode)
        self._runner.start(job, lambda outcome: self.host.finished(admission, outcome))

    def _facts(
        self, caller: Caller, request: ChatRequest, messages: tuple[Message, ...], prompt_tokens: int, family: Family
    ) -> dict[str, Any]:
        facts = self.host.facts(caller, request)
        facts |= _estimate(request, messages).as_facts()
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

    def _header(self, request: ChatRequest, decision: Decision) -> AnswerHeader:
        return AnswerHeader(
            sid=self._stream_id(),
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
        *,
        local_only: bool,
    ) -> GenerationState:
        tokenizer = family.tokenizer
        wanted = request.budget or self._settings.max_tokens_default
        room = family.context_tokens - len(prompt_ids) if tokenizer else wanted
        if room < 1:
            raise MessageTooLongError(
                f"The messages make {len(prompt_ids)} tokens; {family.name} reads {family.context_tokens}",
                where="messages",
                expected=f"fewer than {family.context_tokens} tokens with room for an answer",
                remedy="shorten the conversation or drop its oldest turns",
            )
        return GenerationState(
            prompt_ids=prompt_ids,
            messages=messages,
            model=request.model,
            max_tokens=min(wanted, room),
            seed=self._draw_seed() if request.seed is None else request.seed,
            sampling=sampling_of(request),
            stops=stops_of(request),
            eos_ids=tokenizer.eos_ids if tokenizer else (),
            tokenizer_digest=tokenizer.digest if tokenizer else "",
            template_digest=tokenizer.template_digest if tokenizer else "",
            local_only=local_only,
        )

    def _plan(self, decision: Decision, tiers: TierSource) -> Plan:
        kinds: list[TierKind] = []
        for mode in (decision.mode, *decision.fallback):
            _, speaking = MODES.get(str(mode), (None, ()))
            kinds += [kind for kind in speaking if kind not in kinds]
        base = self._settings.limits
        timeouts = decision.timeouts
        limits = Limits(timeouts.first_token_s or base.first_token_s, base.stall_s, base.soft_s, timeouts.total_s)
        return Plan(mode=str(decision.mode), kinds=tuple(kinds), tiers=tiers, limits=limits)

    # What is asked of a stream by its id -------------------------------------------------------------------------

    async def head(self, caller: Caller, sid: str) -> Head:
        """Where a stream stands. A stream of another key is as unknown as one that never was."""
        head = await self.log.head(sid)
        if head.owner != caller.key_id:
            raise unknown_stream(sid)
        return head

    async def header(self, sid: str) -> AnswerHeader:
        """What rendering needs; check ownership first."""
        return _snapshot_decoder.decode(await self.log.request(sid)).header

    async def cancel(self, caller: Caller, sid: str) -> Head:
        """Stop an answer: when this returns, nothing will follow in the log. Idempotent."""
        await self.head(caller, sid)
        await self.log.cancel(sid, payload=encode_entry(CancelEntry("client")))
        self._runner.stop_answer(sid)
        return await self.log.head(sid)


def unknown_stream(sid: str) -> EdgewiseError:
    """The error for a stream that does not exist, has been forgotten, or belongs to another key."""
    return StreamNotFoundError(
        f"There is no stream {sid[:40]!r} for this key",
        where="stream id",
        remedy="use the key that opened the stream, or ask again: ended streams are forgotten after a while",
    )


async def _encode(family: Family, messages: tuple[Message, ...]) -> tuple[int, ...]:
    if family.tokenizer is None:
        return ()
    if sum(len(message.content) for message in messages) > INLINE_ENCODE_CHARS:
        return await asyncio.to_thread(family.tokenizer.encode_chat, messages)
    return family.tokenizer.encode_chat(messages)


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
    return facts["request.origin"] == "device" and facts.get("request.sensitivity") in ("personal", "secret")
