"""DeviceHost: the device's side of answering. Facts and tiers of this device, its policy, and records without text."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.adapted import AdaptedModels
from edge_agent.telemetry.sources import DeviceFacts
from edgewise.api.host import Admission, Caller, Facts, Family
from edgewise.api.owners import Owners
from edgewise.dialects.chat import ChatRequest
from edgewise.routing.plan import TierSource
from edgewise.routing.runner import Outcome
from edgewise.routing.tier import Tier, TierKind
from edgewise.wire.errors import UnauthenticatedError, UnknownModelError
from edgewise.wire.frames import Scalar, TelemetryRecord
from policies import Decision
from policies.facts import without_text

DECISION_KIND, ANSWER_KIND = "decision", "answer"
LABEL_MAX_CHARS = 80
TENANT, USER_TIER = "device", "standard"


@dataclass(frozen=True)
class Link:
    """What is known of the control plane at this moment. `rtt_ms` None: not measured."""

    online: bool = False
    rtt_ms: float | None = None


class DeviceHost:
    """Implements edgewise.api.host.Host for apps on this device.

    `families` are those of the model that is served now, the default first; `clamp` has the last word on a decision.
    `adapted` tells which tier answers for an adapter's name; None has no adapters.
    `record` keeps a telemetry record; `link` and `device_facts` are asked for every request and must be quick. With a
    `local_key` every app must show it; without one, apps that send different keys cannot see each other's streams.
    """

    origin = "device"

    def __init__(
        self,
        *,
        name: str,
        edge: Tier,
        cloud: Tier | None,
        families: Callable[[], Mapping[str, Family]],
        decide: Callable[[Facts], Decision],
        link: Callable[[], Link],
        device_facts: Callable[[], DeviceFacts],
        record: Callable[[TelemetryRecord], object],
        local_key: str = "",
        owners: Owners | None = None,
        adapted: AdaptedModels | None = None,
        clamp: Callable[[Decision, Facts], Decision] = lambda decision, facts: decision,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._edge = edge
        self._cloud = cloud
        self._families = families
        self._decide = decide
        self._link = link
        self._device_facts = device_facts
        self._record = record
        self._local_key = local_key
        self._owners = owners or Owners.of_this_process()
        self._adapted = adapted
        self._clamp = clamp
        self._now = now

    def authenticate(self, authorization: str) -> Caller:
        key = authorization.removeprefix("Bearer ").strip()
        if self._local_key and not hmac.compare_digest(key.encode(), self._local_key.encode()):
            raise UnauthenticatedError(
                "The key is not this device's local key",
                where="header authorization",
                remedy="send the key that the agent was started with",
            )
        owner = hashlib.sha256(key.encode()).hexdigest()[:16]
        return Caller(f"local-{owner}", TENANT, USER_TIER, self._name)

    def models(self) -> list[str]:
        return list(self._families())

    def family(self, model: str) -> Family:
        families = self._families()
        if model not in families:
            raise UnknownModelError(
                f"There is no model {model[:80]!r} on this device",
                where="model",
                expected=f"one of {', '.join(families)}",
                remedy="ask GET /v1/models",
            )
        return families[model]

    def facts(self, caller: Caller, request: ChatRequest) -> dict[str, Any]:
        link, load = self._link(), self._edge.load()
        facts: dict[str, Any] = {
            "device.id": self._name,
            "device.present": True,
            "device.online": link.online,
            "device.model_version": self._edge.capabilities.model_version,
            "device.queue_depth": load.running + load.queued,
            "cloud.available": link.online and self._cloud is not None and not self._only_here(request.model),
        }
        if load.tokens_per_s:
            facts["device.tokens_per_s"] = load.tokens_per_s
        if link.rtt_ms is not None:
            facts["device.rtt_ms"] = link.rtt_ms
        return facts | self._device_facts()

    def decide(self, facts: Facts) -> Decision:
        return self._clamp(self._decide(facts), facts)

    def tiers(self, caller: Caller, *, model: str, device: str) -> TierSource:
        return lambda kind: self.source(kind, model)

    def source(self, kind: TierKind, model: str = "") -> list[Tier]:
        """The tiers of a kind that can be asked for a model at this moment."""
        if kind == "edge":
            return [self._edge if self._adapted is None else self._adapted.tier(model)]
        cloud = [] if self._cloud is None or self._only_here(model) else [self._cloud]
        return cloud if self._link().online else []

    def _only_here(self, model: str) -> bool:
        return self._adapted is not None and self._adapted.names_one(model)

    def salt(self, caller: Caller) -> bytes:
        return self._owners.salt(caller)

    def tenant(self, caller: Caller) -> bytes:
        return self._owners.tenant(caller)

    async def reserve(self, caller: Caller, sid: str, prompt_tokens: int, max_tokens: int) -> None:
        """A device has no limits: they are the control plane's, for what reaches it."""

    def paid_for(self, kinds: tuple[TierKind, ...], prompt_tokens: int, max_cost: int) -> None:
        """A device knows no prices: what reaches the control plane is judged there."""

    def release(self, sid: str) -> None:
        """Nothing was reserved."""

    def rate(self, sid: str) -> None:
        """No minute is limited."""

    def decided(self, admission: Admission) -> None:
        """A decision travels without text: values of the table of facts, and the policy's own words."""
        decision = admission.decision
        values = without_text(admission.facts) | {
            "stream": admission.sid,
            "mode": str(decision.mode),
            "rule": decision.rule_id[:LABEL_MAX_CHARS],
            "policy": decision.policy_digest,
            "clamped": bool(decision.clamped_by),
            "terms": json.dumps(decision.asked(), separators=(",", ":")),
        }
        self._record(TelemetryRecord(self._now(), DECISION_KIND, values))

    def finished(self, sid: str, outcome: Outcome) -> None:
        timings = outcome.timings
        values: dict[str, Scalar] = {
            "stream": sid,
            "finish": outcome.finish,
            "tier": (outcome.tiers[-1] if outcome.tiers else "")[:LABEL_MAX_CHARS],
            "tiers": len(outcome.tiers),
            "error_code": outcome.failures[-1].info().code if outcome.failures else "",
            "prompt_tokens": outcome.usage.prompt_tokens,
            "completion_tokens": outcome.usage.completion_tokens,
            "waste_tokens": timings.waste_tokens,
            "first_token_s": timings.first_token_s,
            "total_s": timings.total_s,
            **{f"{point}_s": round(seconds, 6) for point, seconds in outcome.points.items()},
        }
        self._record(TelemetryRecord(self._now(), ANSWER_KIND, values))
