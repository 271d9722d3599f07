"""WorkerHost: the worker's side of answering by itself. One model, one tier, one decision; nothing is recorded."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from edgewise.api.host import Admission, Caller, Facts, Family
from edgewise.api.owners import Owners
from edgewise.dialects.chat import ChatRequest
from edgewise.routing.plan import TierSource
from edgewise.routing.runner import Outcome
from edgewise.routing.tier import Tier, TierKind
from edgewise.wire.errors import UnauthenticatedError, UnknownModelError
from policies import Decision, Mode

TENANT, USER_TIER = "worker", "standard"
_HERE = Decision(mode=Mode.CLOUD, rule_id="worker", reason="this worker answers by itself")


class WorkerHost:
    """Implements edgewise.api.host.Host with one tier and the family of its model.

    With a `key` every client must show it; without one, clients that send different keys cannot see each other's
    streams, nor reuse each other's prompts.
    """

    origin = "control_plane"

    def __init__(self, tier: Tier, family: Family, key: str = "", owners: Owners | None = None) -> None:
        self._tier, self._family, self._key = tier, family, key
        self._owners = owners or Owners.of_this_process()

    def authenticate(self, authorization: str) -> Caller:
        shown = authorization.removeprefix("Bearer ").strip()
        if self._key and not hmac.compare_digest(shown.encode(), self._key.encode()):
            raise UnauthenticatedError(
                "The key is not this worker's",
                where="header authorization",
                remedy="send the key that the worker was started with (EDGEWISE_WORKER_HTTP_KEY) as a bearer token",
            )
        return Caller(f"http-{hashlib.sha256(shown.encode()).hexdigest()[:16]}", TENANT, USER_TIER)

    def models(self) -> list[str]:
        return [self._family.name]

    def family(self, model: str) -> Family:
        if model != self._family.name:
            raise UnknownModelError(
                f"There is no model {model[:80]!r} on this worker",
                where="model",
                expected=self._family.name,
                remedy="ask GET /v1/models",
            )
        return self._family

    def facts(self, caller: Caller, request: ChatRequest) -> dict[str, Any]:
        return {"cloud.available": True}

    def decide(self, facts: Facts) -> Decision:
        return _HERE

    def tiers(self, caller: Caller, *, model: str, device: str) -> TierSource:
        return lambda kind: [self._tier] if kind == self._tier.kind else []

    def salt(self, caller: Caller) -> bytes:
        return self._owners.salt(caller)

    def tenant(self, caller: Caller) -> bytes:
        """Whoever shows another key is taken for another tenant: nothing else is known here."""
        return self._owners.salt(caller)

    async def reserve(self, caller: Caller, sid: str, prompt_tokens: int, max_tokens: int) -> None:
        """A worker alone has no limits but its queue's."""

    def paid_for(self, kinds: tuple[TierKind, ...], prompt_tokens: int, max_cost: int) -> None:
        """It knows no prices."""

    def release(self, sid: str) -> None:
        """Nothing was reserved."""

    def rate(self, sid: str) -> None:
        """No minute is limited."""

    def decided(self, admission: Admission) -> None:
        """There is one decision only."""

    def finished(self, sid: str, outcome: Outcome) -> None:
        """Counted by the observer; the log keeps the answer for a while."""
