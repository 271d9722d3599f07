"""Director: while a rollout is open, which policy decides for whom at this gateway, and what is measured on the way.

All in memory, on the request path. What is open comes from the service; a plan's shares are `policies.rollout`'s.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final

from control_plane.decisions.records import Decided, Event
from control_plane.policy_rollouts.totals import RunMeter
from edgewise.routing.runner import Outcome
from policies import Decision, Policy
from policies.rollout import Applied, RolloutPlan, RolloutState, StageMode, applied

RUNNING_MAX: Final = 100_000
"""Answers whose end is waited for; beyond it the oldest are not measured."""
KEYS_KEPT: Final = 10_000
"""Keys whose place is remembered: to find it takes as long as several decisions."""
DEVICE_KEY: Final = "device.id"


@dataclass(frozen=True, slots=True)
class Version:
    """A saved policy, compiled."""

    number: int
    policy: Policy


@dataclass(slots=True)
class Staged:
    """An open rollout as this gateway knows it; another state is another Staged.

    revision: of the state. meter: of the present run. enforcing: whether the candidate decides for somebody.
    """

    id: int
    revision: int
    plan: RolloutPlan
    state: RolloutState
    base: Version
    candidate: Version
    meter: RunMeter
    enforcing: bool = field(init=False)
    _applied: Callable[[str | None], Applied] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        stage = getattr(self.state.position, "stage", None)
        self.enforcing = stage is not None and self.plan.stages[stage].mode is StageMode.ENFORCE
        self._applied = lru_cache(KEYS_KEPT)(partial(applied, self.plan, self.state))

    @property
    def run(self) -> int:
        """The present run, counted from 1; 0 outside of stages."""
        return getattr(self.state.position, "run", 0)

    def decide(self, facts: Mapping[str, Any]) -> Decision:
        """The decision of the policy that this request's key has. Never raises."""
        here = self._applied(self._key(facts))
        if here.shadow:
            decision = self.base.policy.decide(facts)
            self.meter.compared(decision, self.candidate.policy.decide(facts))
            return decision
        decision = (self.candidate if here.candidate else self.base).policy.decide(facts)
        if self.enforcing:
            self.meter.decided(decision.rule_id, candidate=here.candidate)
        return decision

    def version_for(self, node_id: str) -> int:
        """The version by which a device decides for its own apps. It holds one policy for all of them, so it has the
        candidate before the end only where devices are the keys."""
        if self.plan.by != DEVICE_KEY:
            return self.base.number
        return (self.candidate if self._applied(node_id).candidate else self.base).number

    def side(self, digest: str) -> bool | None:
        """Whether the policy with this digest is the candidate; None when it is neither."""
        return {self.candidate.policy.digest: True, self.base.policy.digest: False}.get(digest)

    def replay(self, event: Decided) -> None:
        """Shadow: judge a device's decision by its facts. Both evaluators agree to the bit, so this is what the device
        would have found; where the old policy does not repeat its record, a fact is missing and nothing is known."""
        shadow = self._applied(self._key(event.facts)).shadow
        if not shadow or self.side(event.policy_digest) is not False:
            return
        old = self.base.policy.decide(event.facts)
        again = (old.mode, old.rule_id) == (event.mode, event.rule)
        self.meter.repeated(again)
        if again:
            self.meter.compared(old, self.candidate.policy.decide(event.facts))

    def _key(self, facts: Mapping[str, Any]) -> str | None:
        key = facts.get(self.plan.by)
        return key if isinstance(key, str) else None


class Director:
    """Holds the open rollout. `staged` is None when there is none, and then nothing else here costs anything."""

    def __init__(self, running_max: int = RUNNING_MAX) -> None:
        self.staged: Staged | None = None
        self._running_max = running_max
        self._running: OrderedDict[str, tuple[RunMeter, bool]] = OrderedDict()

    @property
    def versions(self) -> tuple[int, ...]:
        """The policy versions that devices may have because of the open rollout."""
        staged = self.staged
        return () if staged is None else (staged.base.number, staged.candidate.number)

    def stage(self, staged: Staged | None) -> None:
        """From now on this one is open; answers of an earlier run still end, and count for nothing."""
        self.staged = staged
        if staged is None:
            self._running.clear()

    def decided(self, sid: str, decision: Decision) -> None:
        """An answer begins by this decision."""
        if self.staged is not None:
            self._begun(self.staged, sid, decision.policy_digest)

    def finished(self, sid: str, outcome: Outcome) -> None:
        """An answer ended; telling it twice changes nothing."""
        if self._running:
            failed = None if outcome.finish == "cancelled" else outcome.finish == "error"
            self._ended(sid, failed, outcome.timings.first_token_s, outcome.timings.total_s)

    def heard(self, events: Iterable[Event]) -> None:
        """What devices decided for their own apps, each told once. What is older than the run is left out."""
        staged = self.staged
        if staged is None or not staged.run:
            return
        for event in events:
            if not isinstance(event, Decided):
                failed = None if event.status == "cancelled" else event.status == "failed"
                self._ended(event.stream_id, failed, event.first_token_s, event.total_s)
            elif event.at.timestamp() >= staged.state.since_s:
                self._heard(staged, event)

    def _heard(self, staged: Staged, event: Decided) -> None:
        if not staged.enforcing:
            staged.replay(event)
        elif (candidate := staged.side(event.policy_digest)) is not None:
            staged.meter.decided(event.rule, candidate=candidate)
            self._begun(staged, event.stream_id, event.policy_digest)

    def _begun(self, staged: Staged, sid: str, digest: str) -> None:
        candidate = staged.side(digest)
        if candidate is None or not staged.enforcing:
            return
        self._running[sid] = staged.meter, candidate
        if len(self._running) > self._running_max:
            self._running.popitem(last=False)

    def _ended(self, sid: str, failed: bool | None, first_token_s: float | None, total_s: float | None) -> None:
        meter, candidate = self._running.pop(sid, (None, False))
        if meter is not None:
            meter.ended(failed, first_token_s, total_s, candidate=candidate)
