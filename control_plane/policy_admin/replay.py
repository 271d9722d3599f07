"""Replaying recorded decisions: what would this policy have changed? Bounded work, off the event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from policies import Policy

EXAMPLES = 5


class Recorded(Protocol):
    """A recorded decision, as far as a replay reads it; `facts` is JSON."""

    @property
    def stream_id(self) -> str: ...
    @property
    def facts(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def policy_digest(self) -> str: ...


@dataclass
class Change:
    """Decisions that would go from one mode to another, and some of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Replay:
    """What a policy would change over recorded decisions.

    `other_rule` counts those that keep their mode by another rule. `errors` counts those for which the policy's onError
    decides. `unfaithful` counts decisions of the policy in force that it would not repeat on what was recorded, because
    a fact was not recorded (words of clients never are): where it is not 0, read the changes with care.
    """

    decisions: int = 0
    unchanged: int = 0
    other_rule: int = 0
    errors: int = 0
    unfaithful: int = 0
    changes: dict[tuple[str, str], Change] = field(default_factory=dict)
    modes: Counter[str] = field(default_factory=Counter)


async def replay(policy: Policy, active: Policy, pages: AsyncIterator[Sequence[Recorded]]) -> Replay:
    """Decide every recorded decision again, page by page, in a thread."""
    found = Replay()
    async for rows in pages:
        await asyncio.to_thread(_replay_page, found, policy, active, rows)
    return found


def _replay_page(found: Replay, policy: Policy, active: Policy, rows: Sequence[Recorded]) -> None:
    for row in rows:
        facts = msgspec.json.decode(row.facts)
        decision = policy.decide(facts)
        mode = str(decision.mode)
        found.decisions += 1
        found.modes[mode] += 1
        found.errors += bool(decision.errors)
        found.unfaithful += row.policy_digest == active.digest and str(active.decide(facts).mode) != row.mode
        if mode == row.mode:
            found.unchanged += 1
            found.other_rule += decision.rule_id != row.rule
            continue
        change = found.changes.setdefault((row.mode, mode), Change())
        change.count += 1
        if len(change.examples) < EXAMPLES:
            change.examples.append(row.stream_id)
