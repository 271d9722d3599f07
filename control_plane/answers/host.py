"""ControlHost: the control plane's side of answering. It gathers facts and tiers from memory and records decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from control_plane.accounts.keyring import KeyRing
from control_plane.answers.families import FAMILY_NAME, find_family
from control_plane.answers.wishes import NoWishes, OperatorWishes
from control_plane.audit.service import utc_now
from control_plane.caches.popular import PopularPrompts
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.records import Decided, Finished, status_of
from control_plane.nodes.registry import NodeRegistry
from control_plane.nodes.tier import ConnectedTier
from control_plane.policy_admin.service import PolicyStore
from control_plane.policy_rollouts.director import Director
from control_plane.upstreams.ready import with_upstreams
from control_plane.usage.answers import AnswerMeter, NoMeter
from control_plane.usage.limits import FREE, Prices
from edgewise.api.host import Admission, Caller, Facts, Family
from edgewise.api.owners import Owners
from edgewise.dialects.chat import ChatRequest
from edgewise.routing.plan import TierSource
from edgewise.routing.runner import Outcome
from edgewise.routing.tier import Tier, TierKind
from edgewise.wire.errors import ForbiddenError, RateState
from policies import Decision


class ControlHost:
    """Implements edgewise.api.host.Host over the stores of a control plane."""

    origin = "control_plane"

    def __init__(
        self,
        *,
        keyring: KeyRing,
        registry: NodeRegistry,
        policies: PolicyStore,
        recorder: DecisionRecorder,
        families: Mapping[str, Family],
        upstreams: Sequence[Tier],
        on_ended: Callable[[str], None],
        wishes: OperatorWishes | None = None,
        meter: AnswerMeter | None = None,
        popular: PopularPrompts | None = None,
        prices: Prices = FREE,
        director: Director | None = None,
        owners: Owners | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`on_ended(sid)` is told of every stream that ended, so that it can be sealed."""
        self._wishes = wishes or NoWishes()
        self._meter: AnswerMeter = meter or NoMeter()
        self._popular = popular or PopularPrompts()
        self._prices = prices
        self._director = director or Director()
        self._owners = owners or Owners.of_this_process()
        self._keyring = keyring
        self._registry = registry
        self._policies = policies
        self._recorder = recorder
        self._families = families
        self._upstreams = upstreams
        self._on_ended = on_ended
        self._now = now

    def authenticate(self, authorization: str) -> Caller:
        principal = self._keyring.authenticate(authorization)
        principal.require("app", "operator")
        return Caller(principal.key_id, principal.tenant, principal.user_tier, principal.device or "")

    def models(self) -> list[str]:
        return list(self._families)

    def family(self, model: str) -> Family:
        return find_family(self._families, model)

    def facts(self, caller: Caller, request: ChatRequest) -> dict[str, Any]:
        self._require_binding(caller, request.edgewise.device)
        self._popular.note(caller.tenant, request.model, request.messages, salt=self.salt(caller))
        device = self._device(caller, request.edgewise.device)
        facts: dict[str, Any] = {"device.present": bool(device)} | self._registry.cloud_facts()
        if device:
            facts |= self._registry.device_facts(device)
        return with_upstreams(facts, self._upstreams)

    def decide(self, facts: Facts) -> Decision:
        staged = self._director.staged
        return self._policies.active.decide(facts) if staged is None else staged.decide(facts)

    def tiers(self, caller: Caller, *, model: str, device: str) -> TierSource:
        self._require_binding(caller, device)
        wanted = None if model == FAMILY_NAME else model

        def source(kind: TierKind) -> list[Tier]:
            found = self._edge(caller, self._device(caller, device)) if kind == "edge" else self._cloud(caller)
            return [tier for tier in found if wanted is None or wanted in tier.capabilities.models]

        return source

    def _edge(self, caller: Caller, device: str) -> list[ConnectedTier]:
        return [tier for tier in self._devices(caller) if tier.node_id == device]

    def _devices(self, caller: Caller) -> Sequence[ConnectedTier]:
        """Devices of the caller's own tenant, those with the wanted model version first; those of others do not exist
        for it."""
        own = [tier for tier in self._registry.tiers("edge") if tier.tenant == caller.tenant]
        return self._wishes.prefer(own, caller.tenant)

    def _cloud(self, caller: Caller) -> list[Tier]:
        """Workers first, those with the wanted model version and the least busy first; foreign engines after them."""
        return [*self._wishes.prefer(self._registry.tiers("cloud"), caller.tenant), *self._upstreams]

    def _require_binding(self, caller: Caller, wanted: str) -> None:
        if caller.device and wanted not in ("", caller.device):
            raise ForbiddenError(
                f"This key is bound to the device {caller.device}",
                where="edgewise.device",
                remedy="leave edgewise.device out, or use another key",
            )

    def _device(self, caller: Caller, wanted: str) -> str:
        """The node id of the device that may serve this caller, or an empty string.

        A key bound to a device never reaches another, and no key one of another tenant. Without a wish or a binding
        only devices that offer themselves to everybody (label shared=true) are used: a stranger's phone is nobody's
        cloud.
        """
        devices = self._devices(caller)
        if named := wanted or caller.device:
            return named if any(tier.node_id == named for tier in devices) else ""
        shared = [tier for tier in devices if self._wishes.labels(tier.node_id, tier.labels).get("shared") == "true"]
        return shared[0].node_id if shared else ""  # the registry lists the least busy first

    def salt(self, caller: Caller) -> bytes:
        return self._owners.salt(caller)

    def tenant(self, caller: Caller) -> bytes:
        return self._owners.tenant(caller)

    async def reserve(self, caller: Caller, sid: str, prompt_tokens: int, max_tokens: int) -> None:
        await self._meter.reserve(caller, sid, prompt_tokens, max_tokens)

    def paid_for(self, kinds: tuple[TierKind, ...], prompt_tokens: int, max_cost: int) -> int | None:
        return self._prices.pays_for(kinds, prompt_tokens, max_cost)

    def release(self, sid: str) -> None:
        self._meter.release(sid)

    def rate(self, sid: str) -> RateState | None:
        return self._meter.rate(sid)

    def decided(self, admission: Admission) -> None:
        decision, caller = admission.decision, admission.caller
        self._director.decided(admission.sid, decision)
        self._meter.admitted(admission.sid, caller, admission.model)
        self._recorder.decided(
            Decided(
                stream_id=admission.sid,
                at=self._now(),
                tenant=caller.tenant,
                key_id=caller.key_id,
                origin=self.origin,
                facts=dict(admission.facts),
                mode=str(decision.mode),
                rule=decision.rule_id,
                reason=decision.reason,
                policy_digest=decision.policy_digest,
                model=admission.model,
                fallbacks=tuple(str(mode) for mode in decision.fallback),
                terms=decision.asked(),
            )
        )

    def finished(self, sid: str, outcome: Outcome) -> None:
        timings, failures = outcome.timings, outcome.failures
        self._director.finished(sid, outcome)
        self._recorder.finished(
            Finished(
                stream_id=sid,
                at=self._now(),
                status=status_of(outcome.finish),
                finish=outcome.finish,
                error_code=failures[-1].info().code if failures and outcome.finish == "error" else "",
                tier=outcome.tiers[-1] if outcome.tiers else "",
                prompt_tokens=outcome.usage.prompt_tokens,
                completion_tokens=outcome.usage.completion_tokens,
                waste_tokens=timings.waste_tokens,
                first_token_s=timings.first_token_s or None,
                total_s=timings.total_s or None,
                timings_s={point: round(seconds, 6) for point, seconds in outcome.points.items()},
            )
        )
        self._meter.finished(sid, outcome)
        self._on_ended(sid)
