"""What differs between a control plane and a device when they answer: the Host protocol, and who is asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from edgewise.dialects.chat import ChatRequest
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.routing.plan import TierSource
from edgewise.routing.runner import Outcome
from edgewise.routing.tier import TierKind
from edgewise.wire.errors import RateState
from policies import Decision

Facts = Mapping[str, Any]


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the key that owns the streams it opens, and what the policy may know of it."""

    key_id: str
    tenant: str
    user_tier: str
    device: str = ""


@dataclass(frozen=True)
class Family:
    """A model name that clients may ask for, and how its prompts become token ids.

    `tokenizer` is None for a foreign engine that takes messages.
    """

    name: str
    tokenizer: ChatTokenizer | None
    context_tokens: int


class Admission(msgspec.Struct, frozen=True):
    """One admitted request as it is recorded: no text, only facts and the decision."""

    sid: str
    caller: Caller
    model: str
    facts: Facts
    decision: Decision


class Host(Protocol):
    """Supplies facts, tiers and records to AnswerService. Its methods run on the request path: memory only, no SQL."""

    @property
    def origin(self) -> str:
        """`device` or `control_plane`: where requests to this host start (the fact request.origin)."""
        ...

    def authenticate(self, authorization: str) -> Caller:
        """The caller behind an Authorization header. Raises UnauthenticatedError, ForbiddenError."""
        ...

    def models(self) -> list[str]:
        """Names for GET /v1/models, the default first."""
        ...

    def family(self, model: str) -> Family:
        """Raises UnknownModelError naming the models that exist."""
        ...

    def facts(self, caller: Caller, request: ChatRequest) -> dict[str, Any]:
        """Facts of device and cloud by their dotted names; an absent name means that nobody knows."""
        ...

    def decide(self, facts: Facts) -> Decision: ...

    def tiers(self, caller: Caller, *, model: str, device: str) -> TierSource:
        """The tiers that may serve this caller with this model, on the device that was wished for (or none); asked
        anew whenever a try starts. Raises ForbiddenError."""
        ...

    def salt(self, caller: Caller) -> bytes:
        """What keeps this caller's contexts apart from those of others (see `edgewise.api.owners.Owners`)."""
        ...

    def tenant(self, caller: Caller) -> bytes:
        """With whom the caller shares a place in the queues of nodes; no name (see `edgewise.api.owners.Owners`)."""
        ...

    async def reserve(self, caller: Caller, sid: str, prompt_tokens: int, max_tokens: int) -> None:
        """Take the worst case of an answer from the caller's limits, before its stream opens; no wait where there are
        none. Raises RateLimitedError and its kinds, LimitsUnavailableError; then nothing was taken."""
        ...

    def paid_for(self, kinds: tuple[TierKind, ...], prompt_tokens: int, max_cost: int) -> int | None:
        """How many tokens an answer may have that costs at most `max_cost` micro-units, whichever of these kinds
        speaks; 0 when not even one is paid for, None where prices bound it not at all."""
        ...

    def release(self, sid: str) -> None:
        """The stream of a reservation could not be opened, or another process makes it now; must not wait."""
        ...

    def rate(self, sid: str) -> RateState | None:
        """How the caller's minute stood when the answer was let in; None where none is limited."""
        ...

    def decided(self, admission: Admission) -> None:
        """Remember a decision; must not wait."""
        ...

    def finished(self, sid: str, outcome: Outcome) -> None:
        """Remember how an answer ended, whoever began it; must not wait. It may be told twice, here or by two
        processes."""
        ...
