"""From a checked chat request to the Snapshot of a stream: what is known of it, what is decided, what to make."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import msgspec

from edgewise.api.host import Caller, Facts, Family, Host
from edgewise.dialects.chat import ChatRequest, grammar_of, messages_of, sampling_of, stops_of
from edgewise.dialects.render import AnswerHeader
from edgewise.facts import RequestFacts, declare, estimate
from edgewise.facts.request import UnknownSensitivityError
from edgewise.facts.sensitivity import SENSITIVITIES, rank
from edgewise.generation.state import GenerationState, Message
from edgewise.ids import new_id
from edgewise.observability.trail import Trail
from edgewise.routing.modes import MODES
from edgewise.routing.plan import Limits
from edgewise.routing.terms import rank_of
from edgewise.routing.tier import TierKind
from edgewise.wire.errors import BadRequestError, MessageTooLongError, RefusedByPolicyError
from policies import Decision, Terms
from policies.terms import NO_TERMS

INLINE_CHARS = 20_000
TURN_TOKENS = 16
P = ParamSpec("P")
T = TypeVar("T")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The immutable request of a stream, kept in the log: all that a later runner or reader needs.

    `digest` is that of the request's body, by which a repeated request is known; empty where nobody gave one. `terms`
    are as Plan has them.
    """

    header: AnswerHeader
    state: GenerationState
    caller: Caller
    device: str
    mode: str
    kinds: tuple[TierKind, ...]
    limits: Limits
    digest: str = ""
    terms: Terms = NO_TERMS


class Choice(msgspec.Struct, frozen=True):
    """One of the answers that a request asks for. `prompt_ids` stand in the place of its messages; `probabilities` are
    to be told beside its tokens; those with another `index` draw other tokens with the same seed. `output_ids` were
    said before, elsewhere: the answer goes on behind them."""

    index: int = 0
    prompt_ids: tuple[int, ...] = ()
    output_ids: tuple[int, ...] = ()
    probabilities: bool = False


ONLY_CHOICE = Choice()


@dataclass(frozen=True)
class ServiceSettings:
    """Seconds, except `max_tokens_default`: the answer's length where the client gave none."""

    max_tokens_default: int = 512
    limits: Limits = field(default_factory=Limits)


class Taken(msgspec.Struct, frozen=True):
    """A request that was taken in: its snapshot, and what the decision rests on.

    `prompt_tokens` is the most that the prompt can have; `whole` says that nobody needs to hear of it before the end.
    """

    snapshot: Snapshot
    facts: Facts
    decision: Decision
    prompt_tokens: int
    whole: bool


class Intake:
    """Asks the host what it knows and decides. Nothing is opened or kept here."""

    def __init__(
        self,
        host: Host,
        settings: ServiceSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        draw_seed: Callable[[], int] = lambda: secrets.randbits(63),
        stream_id: Callable[[], str] = new_id,
    ) -> None:
        self._host = host
        self._settings = settings
        self._clock = clock
        self._now = now
        self._draw_seed = draw_seed
        self._stream_id = stream_id

    async def take(
        self,
        caller: Caller,
        request: ChatRequest,
        trail: Trail,
        *,
        sid: str,
        digest: str,
        choice: Choice = ONLY_CHOICE,
    ) -> Taken:
        """Raises BadRequestError, UnknownModelError, MessageTooLongError, RefusedByPolicyError, ForbiddenError.

        `sid` is the stream's id, if one was promised already; `digest` that of the request's body.
        """
        _check_mode(request.edgewise.mode)
        messages = messages_of(request)
        family = self._host.family(request.model)
        encoding_at = self._clock()
        prompt_ids = choice.prompt_ids or await _off_loop(messages, _encode, family, messages)
        trail.encoded(self._clock() - encoding_at)
        room = self._room(family, len(prompt_ids))
        known = await _off_loop(messages, _estimate, request, messages)
        facts = self._facts(caller, request, known, len(prompt_ids), family)
        deciding_at = self._clock()
        decision = self._host.decide(facts)
        trail.decided(self._clock() - deciding_at)
        if decision.mode == "refuse":
            raise _refusal(decision)
        prompt_tokens = len(prompt_ids) or _tokens_at_most(messages)
        kinds = _kinds(decision)
        at_most = _least(room, decision.terms.max_tokens, self._paid_for(decision, kinds, prompt_tokens))
        snapshot = Snapshot(
            header=self._header(request, decision, sid or self._stream_id(), trail.context.traceparent),
            state=msgspec.structs.replace(
                self._state(caller, request, messages, prompt_ids, family, at_most, local_only=_stays_here(facts)),
                choice=choice.index,
                output_ids=choice.output_ids,
                probabilities=choice.probabilities,
                rank=rank_of(caller.user_tier, decision.terms),
            ),
            caller=caller,
            device=request.edgewise.device,
            mode=str(decision.mode),
            kinds=kinds,
            limits=self._limits(decision),
            digest=digest,
            terms=_terms(decision),
        )
        return Taken(snapshot, facts, decision, prompt_tokens, _may_be_whole(request, decision))

    def _facts(
        self, caller: Caller, request: ChatRequest, known: RequestFacts, prompt_tokens: int, family: Family
    ) -> dict[str, Any]:
        facts = self._host.facts(caller, request)
        facts |= known.as_facts()
        max_tokens = request.budget or self._settings.max_tokens_default
        return facts | {
            "request.origin": self._host.origin,
            "request.tenant": caller.tenant,
            "request.user_tier": caller.user_tier,
            "request.model": family.name,
            "request.wants_mode": request.edgewise.mode,
            "request.wants_device": request.edgewise.device,
            "request.prompt_tokens": prompt_tokens,
            "request.context_tokens": prompt_tokens + max_tokens,
            "request.max_tokens": max_tokens,
        }

    def _header(self, request: ChatRequest, decision: Decision, sid: str, trace: str) -> AnswerHeader:
        return AnswerHeader(
            sid=sid,
            created=int(self._now()),
            model=request.model,
            include_usage=request.include_usage,
            mode=str(decision.mode),
            rule=decision.rule_id,
            reason=decision.reason,
            policy=decision.policy_digest[:12],
            trace=trace,
            tokens_per_s=decision.terms.tokens_per_s,
        )

    def _state(
        self,
        caller: Caller,
        request: ChatRequest,
        messages: tuple[Message, ...],
        prompt_ids: tuple[int, ...],
        family: Family,
        at_most: int | None,
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
            max_tokens=wanted if at_most is None else min(wanted, at_most),
            seed=self._draw_seed() if request.seed is None else request.seed,
            sampling=sampling,
            stops=stops_of(request),
            grammar=grammar_of(request),
            eos_ids=tokenizer.eos_ids if tokenizer else (),
            tokenizer_digest=tokenizer.digest if tokenizer else "",
            template_digest=tokenizer.template_digest if tokenizer else "",
            local_only=local_only,
            salt=self._host.salt(caller),
            tenant=self._host.tenant(caller),
        )

    def _room(self, family: Family, prompt_tokens: int) -> int | None:
        """Tokens that the context leaves for an answer; None where nobody knows. Raises MessageTooLongError."""
        if family.tokenizer is None:
            return None
        room = family.context_tokens - prompt_tokens
        if room < 1:
            raise _too_long(f"The messages make {prompt_tokens} tokens", family)
        return room

    def _paid_for(self, decision: Decision, kinds: tuple[TierKind, ...], prompt_tokens: int) -> int | None:
        """Tokens that the decision's cost allows, whoever speaks; None where it bounds none. Raises
        RefusedByPolicyError when it does not even pay for one."""
        most = decision.terms.max_cost
        tokens = None if most is None else self._host.paid_for(kinds, prompt_tokens, most)
        if tokens is not None and tokens < 1:
            raise RefusedByPolicyError(
                f"The policy allows this answer to cost {most} micro-units; its prompt and one token cost more",
                where=f"budget.maxCost of rule {decision.rule_id} of policy {decision.policy_name}",
                expected=f"a prompt shorter than this one of {prompt_tokens} tokens",
                remedy="shorten the conversation, or ask an operator to change the policy",
            )
        return tokens

    def _limits(self, decision: Decision) -> Limits:
        base, timeouts = self._settings.limits, decision.timeouts
        first_token_s = timeouts.first_token_s or base.first_token_s
        return Limits(first_token_s, base.stall_s, base.soft_s, timeouts.total_s, head_start_s=timeouts.soft_s)


def _least(*bounds: int | None) -> int | None:
    """The lowest of the bounds that there are."""
    return min((bound for bound in bounds if bound is not None), default=None)


def _kinds(decision: Decision) -> tuple[TierKind, ...]:
    """The tier kinds that may speak: those of the mode, then those of its fallbacks."""
    kinds: list[TierKind] = []
    for mode in (decision.mode, *(mode for mode in decision.fallback if mode != "refuse")):
        _, speaking = MODES[str(mode)]
        kinds += [kind for kind in speaking if kind not in kinds]
    return tuple(kinds)


def _terms(decision: Decision) -> Terms:
    """The decision's terms for the runner. A fallback to a tier that the mode itself may use is none."""
    _, own = MODES[str(decision.mode)]
    return decision.terms.kept_for(step for step in decision.fallback if step not in own)


def _may_be_whole(request: ChatRequest, decision: Decision) -> bool:
    """Whether nobody needs to hear anything before the end: no reader, no limit on the first token, no race for it."""
    timeouts = decision.timeouts
    judged = timeouts.first_token_s is not None or timeouts.soft_s is not None or decision.mode == "race"
    return not request.stream and not judged


async def _off_loop(messages: tuple[Message, ...], work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run `work` here when the messages are short, else in a thread: long ones would hold up everybody's tokens."""
    if sum(len(message.content) for message in messages) > INLINE_CHARS:
        return await asyncio.to_thread(work, *args, **named)
    return work(*args, **named)


def _encode(family: Family, messages: tuple[Message, ...]) -> tuple[int, ...]:
    """Raises MessageTooLongError for what is too long by far: it is not encoded to its end, which takes much memory."""
    if family.tokenizer is None:
        return ()
    if family.tokenizer.surely_longer(messages, family.context_tokens):
        raise _too_long(f"The messages have {sum(len(message.content) for message in messages)} characters", family)
    return family.tokenizer.encode_chat(messages)


def _too_long(what: str, family: Family) -> MessageTooLongError:
    return MessageTooLongError(
        f"{what}; {family.name} reads {family.context_tokens} tokens",
        where="messages",
        expected=f"fewer than {family.context_tokens} tokens with room for an answer",
        remedy="shorten the conversation or drop its oldest turns",
    )


def _tokens_at_most(messages: tuple[Message, ...]) -> int:
    """For an engine whose tokenizer is not known: no token has less than a byte; a turn has a few more."""
    return sum(len(message.content.encode()) + TURN_TOKENS for message in messages)


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
