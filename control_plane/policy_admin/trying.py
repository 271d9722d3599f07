"""Trying a policy on one request that does not exist: facts in, what it decides and why, and where it differs.

Nothing here is stored or logged; messages become facts and are forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgewise.api.intake import ServiceSettings
from edgewise.facts import declare, estimate
from edgewise.facts.request import UnknownSensitivityError
from edgewise.facts.sensitivity import SENSITIVITIES
from edgewise.wire.errors import BadRequestError
from policies import Explanation, FactValue, Policy
from policies.facts import FACTS, typical_facts

Facts = dict[str, FactValue]
CountTokens = Callable[[str, Sequence[tuple[str, str]]], int | None]
"""World.prompt_tokens."""
_COMPARED = ("mode", "rule_id", "reason", "fallback", "timeouts", "terms", "clamped_by", "errors")


class World(Protocol):
    """What is known, in memory, of devices, the cloud and tokenizers at this moment."""

    def facts(self, device: str) -> Facts:
        """Facts of the cloud, and of a device by its node id (empty: none); for the event loop alone."""
        ...

    def prompt_tokens(self, model: str, messages: Sequence[tuple[str, str]]) -> int | None:
        """Tokens of the whole conversation; None where no tokenizer is known. From any thread."""
        ...


class HealthyWorld:
    """Nothing is connected: the world that a policy's own tests start from. For tests and for a lone policy store."""

    def facts(self, device: str) -> Facts:
        known = typical_facts({})
        return {name: value for name, value in known.items() if not name.startswith("request.")}

    def prompt_tokens(self, model: str, messages: Sequence[tuple[str, str]]) -> int | None:
        return None


@dataclass(frozen=True)
class DryRequest:
    """A request as it might come. `facts` override everything else, by their names; None takes a fact away."""

    messages: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    model: str = ""
    max_tokens: int | None = None
    sensitivity: str = ""
    wants_mode: str = ""
    device: str = ""
    tenant: str = "default"
    user_tier: str = "standard"
    origin: str = "control_plane"
    facts: Mapping[str, FactValue | None] = field(default_factory=dict)


def gather(request: DryRequest, known: Facts, count: CountTokens) -> Facts:
    """All facts that a policy would see for this request, from what is `known` of the world. Takes a while for long
    messages, so it may run in a thread. Raises BadRequestError for names that are no fact."""
    _require_known(request.facts)
    facts = known | {
        "request.origin": request.origin,
        "request.tenant": request.tenant,
        "request.user_tier": request.user_tier,
        "request.model": request.model,
        "request.wants_mode": request.wants_mode,
        "request.wants_device": request.device,
    }
    facts |= _of_messages(request, count)
    return {name: value for name, value in {**facts, **request.facts}.items() if value is not None}


def _of_messages(request: DryRequest, count: CountTokens) -> Facts:
    if not request.messages:
        return {"request.sensitivity": request.sensitivity or "public"}
    known = estimate(request.messages, tools=False, max_tokens=request.max_tokens)
    if request.sensitivity:
        try:
            known = declare(known, request.sensitivity)
        except UnknownSensitivityError as error:
            raise BadRequestError(
                "The declared sensitivity is unknown",
                where="sensitivity",
                expected=f"one of {', '.join(SENSITIVITIES)}",
            ) from error
    counted = count(request.model, request.messages)
    budget = request.max_tokens or ServiceSettings().max_tokens_default
    prompt_tokens = known.context_tokens if counted is None else counted
    return known.as_facts() | {
        "request.prompt_tokens": prompt_tokens,
        "request.context_tokens": prompt_tokens + budget,
        "request.max_tokens": budget,
    }


def _require_known(facts: Mapping[str, object]) -> None:
    strange = sorted(name for name in facts if name not in FACTS)
    if strange:
        raise BadRequestError(
            f"There is no fact {strange[0][:80]!r}",
            where="facts",
            expected="names of the facts table, such as device.battery_pct",
            remedy="see docs/policy-language.md for every fact",
        )


@dataclass(frozen=True)
class Trial:
    """What one policy decides, with reasons, and in what it differs from the policy in force."""

    facts: Facts
    explanation: Explanation
    active: Explanation
    differences: tuple[str, ...]


async def try_request(policy: Policy, active: Policy, facts: Facts) -> Trial:
    """Explain both, in a thread."""
    mine, theirs = await asyncio.to_thread(lambda: (policy.explain(facts), active.explain(facts)))
    ours, others = mine.decision.to_dict(), theirs.decision.to_dict()
    differing = tuple(name for name in _COMPARED if ours[name] != others[name])
    return Trial(facts, mine, theirs, differing)
