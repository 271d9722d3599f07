"""A small world for rollouts: two policies, gateways on one database, a clock that is moved by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.policy_admin.service import Issue, PolicyStore, for_gateways_only
from control_plane.policy_rollouts.director import Staged, Version
from control_plane.policy_rollouts.service import PolicyRollouts, refuse_while_open
from control_plane.policy_rollouts.totals import RunMeter
from edgewise.routing.runner import Outcome
from edgewise.streams.entries import Timings
from policies import Decision, Policy
from policies.facts import typical_facts
from policies.rollout import RolloutState, Ticked, advance, begin, load_rollout

POLICY = """
apiVersion: edgewise/v1
kind: RoutingPolicy
metadata: {name: NAME}
spec:
  rules:
    - id: easy
      when: request.complexity < 0.5
      decide: {mode: MODE, reason: short}
  default: {mode: cloud, reason: long}
  onError: {mode: edge, reason: safe}
"""
OLD, NEW = (POLICY.replace("NAME", name).replace("MODE", mode) for name, mode in (("old", "edge"), ("new", "race")))
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
STAGES: list[dict[str, Any]] = [
    {"mode": "shadow", "for": "1h"},
    {"mode": "enforce", "percent": 10, "for": "1h"},
    {"mode": "enforce", "percent": 100},
]
START_S = NOON.timestamp()
OLD_POLICY, NEW_POLICY = Policy.load(OLD), Policy.load(NEW)
KEYS = [f"tablet-{number}" for number in range(200)]


def document(version: int = 3, **spec: Any) -> str:
    """A rollout of `new`, of three stages and without gates; `spec` adds or replaces its parts."""
    head = {"apiVersion": "edgewise/v1", "kind": "PolicyRollout", "metadata": {"name": "r1"}}
    return json.dumps({**head, "spec": {"policy": f"new@{version}", "stages": STAGES, **spec}})


def facts(key: str | None = "tablet-1", **more: Any) -> dict[str, Any]:
    """An easy request from this device; None: from none."""
    known = typical_facts({}) | {"request.complexity": 0.3, "device.id": key} | more
    return {name: value for name, value in known.items() if value is not None}


def ended(finish: str = "stop", first_token_s: float = 0.2, total_s: float = 1.0) -> Outcome:
    """How an answer ended."""
    return Outcome(finish, timings=Timings(first_token_s=first_token_s, total_s=total_s))


@dataclass
class Clock:
    """Stands still until it is moved."""

    moment: datetime = NOON

    def __call__(self) -> datetime:
        return self.moment

    def pass_by(self, **time: float) -> None:
        self.moment += timedelta(**time)


@dataclass
class Gateway:
    """One gateway's policies and rollouts."""

    policies: PolicyStore
    rollouts: PolicyRollouts
    told: list[str] = field(default_factory=list)
    issued: list[int] = field(default_factory=list)
    refreshed: list[int] = field(default_factory=list)
    """The version that the first device had at each refresh of the bundles."""
    served: int = 0

    @property
    def staged(self) -> Staged:
        assert self.rollouts.director.staged is not None
        return self.rollouts.director.staged

    def decide(self, known: dict[str, Any]) -> Decision:
        """As ControlHost does."""
        staged = self.rollouts.director.staged
        return self.policies.active.decide(known) if staged is None else staged.decide(known)

    def new_keys(self, keys: Iterable[str] = KEYS) -> set[str]:
        """Those for which the candidate decides."""
        return {key for key in keys if self.decide(facts(key)).policy_name == "new"}

    def serve(self, count: int, *, keys: Iterable[str] = KEYS, outcome: Outcome | None = None) -> None:
        """So many answers for each key, from the decision to the end."""
        for key in keys:
            for _ in range(count):
                self.served += 1
                sid = f"{id(self)}-{self.served}"
                self.rollouts.director.decided(sid, self.decide(facts(key)))
                self.rollouts.director.finished(sid, outcome or ended())


@dataclass
class World:
    """Gateways come and go; the database and the clock stay."""

    database: Database
    audit: AuditTrail
    clock: Clock
    gateways: int = 0

    async def gateway(self, issues: Issue = for_gateways_only) -> Gateway:
        """One that starts now. `issues` is done beside noting what is to be issued."""
        self.gateways += 1
        told: list[str] = []
        issued: list[int] = []
        refreshed: list[int] = []

        async def issue(session: AsyncSession, version: int, policy: Policy) -> None:
            issued.append(version)
            await issues(session, version, policy)

        async def refresh() -> None:
            refreshed.append(rollouts.version_for(KEYS[0]))

        policies = PolicyStore(
            self.database,
            self.audit,
            now=self.clock,
            may_change=refuse_while_open,
            tell=lambda: told.append("policies"),
        )
        rollouts = PolicyRollouts(
            self.database,
            self.audit,
            policies,
            gateway=f"gateway-{self.gateways}",
            now=self.clock,
            tell=lambda: told.append("rollouts"),
            issue=issue,
            refresh=refresh,
        )
        await policies.load()
        await rollouts.load()
        return Gateway(policies, rollouts, told, issued, refreshed)

    async def prepared(self, issues: Issue = for_gateways_only) -> Gateway:
        """A first gateway; `old` is version 2 and in force, `new` is version 3."""
        gateway = await self.gateway(issues)
        await gateway.policies.create_and_activate(OLD, actor="ada")
        await gateway.policies.create(NEW, actor="ada")
        gateway.told.clear()
        return gateway

    async def timeline(self) -> list[tuple[str, str, str]]:
        """(actor, action, after) of what the audit log has of rollouts."""
        rows = [*reversed(await self.audit.page(limit=200))]
        return [(row.actor, row.action, str(row.after)) for row in rows if row.action.startswith("policy_rollout.")]


async def running(gateway: Gateway, *, actor: str = "ada", **spec: Any) -> int:
    """A rollout in its first stage; its id."""
    row = await gateway.rollouts.create(document(**spec), actor=actor)
    await gateway.rollouts.tick()
    return row.id


def staged(*hours: float, **spec: Any) -> Staged:
    """A rollout after ticks so many hours after its beginning."""
    plan = load_rollout(document(**spec))
    state = begin(plan, "ada", START_S)
    for hour in hours:
        state = advance(plan, state, Ticked(START_S + hour * 3600)).state
    return with_state(Staged(1, 1, plan, state, Version(2, OLD_POLICY), Version(3, NEW_POLICY), RunMeter()), state)


def with_state(before: Staged, state: RolloutState) -> Staged:
    """The same rollout in another state; measuring begins anew."""
    return Staged(1, 1, before.plan, state, before.base, before.candidate, RunMeter())
