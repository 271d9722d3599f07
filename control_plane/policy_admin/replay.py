"""Replaying recorded decisions: what would this policy have changed? By columns, bounded work, off the event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from control_plane.policy_admin.costs import Costs
from control_plane.policy_replay.columns import Table
from control_plane.policy_replay.context import smallest_context
from control_plane.policy_replay.decide import decide, facts_table
from control_plane.policy_replay.names import Names
from control_plane.policy_replay.terms import other_terms
from policies import Policy
from policies.modes import MODES

EXAMPLES = 5
BLOCK_ROWS = 4096
"""Decisions that are decided again at a time: their facts are all that is held of them."""
MAX_KINDS = 500
"""Changes of rules that are told apart; each keeps the facts of one decision."""
MAX_CONTEXTS = 50
"""The most frequent changes of rules that are explained: that takes some hundred decisions each."""


class Recorded(Protocol):
    """A recorded decision, as far as a replay reads it; `facts` and `terms` are JSON, no `terms` where none were
    recorded."""

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
    @property
    def terms(self) -> str | None: ...
    @property
    def tier(self) -> str | None: ...
    @property
    def prompt_tokens(self) -> int | None: ...
    @property
    def completion_tokens(self) -> int | None: ...


CostOf = Callable[[Recorded], int | None]
"""What a recorded answer cost, in micro-units; None where that is not known."""


def no_cost(recorded: Recorded) -> None:
    """Nothing has a price."""


@dataclass
class Change:
    """Decisions that would go from one mode to another, and some of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kind:
    """By which rule and in which mode decisions were made, and would be."""

    recorded_rule: str
    recorded_mode: str
    rule: str
    mode: str


@dataclass
class RuleChange:
    """Decisions of one kind of change. stream_id, facts: of the newest.

    context: the fewest facts of it that bring the change about in the usual world (None: absent); None: not looked for.
    """

    kind: Kind
    stream_id: str
    facts: Mapping[str, Any] = field(repr=False)
    count: int = 0
    context: Mapping[str, Any] | None = None


@dataclass
class Replay:
    """What a policy would change over recorded decisions.

    `other_rule` counts those that keep their mode by another rule, `other_terms` those that keep it with other models,
    time limits, pace or budget, as far as these were recorded. `errors` counts those for which the policy's onError
    decides. `unfaithful` counts decisions of the policy in force that it would not repeat on what was recorded, because
    a fact was not recorded (words of clients never are): where it is not 0, read the changes with care. `rules` has the
    first MAX_KINDS kinds of change, by rule. `costs`: what the answers cost, as far as it is known.
    """

    decisions: int = 0
    unchanged: int = 0
    other_rule: int = 0
    other_terms: int = 0
    errors: int = 0
    unfaithful: int = 0
    changes: dict[tuple[str, str], Change] = field(default_factory=dict)
    modes: Counter[str] = field(default_factory=Counter)
    rules: dict[Kind, RuleChange] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)


async def replay(
    policy: Policy, active: Policy, pages: AsyncIterator[Sequence[Recorded]], cost_of: CostOf = no_cost
) -> Replay:
    """Decide every recorded decision again, block by block, in a thread."""
    found = Replay()
    block: list[Recorded] = []
    async for rows in pages:
        block += rows
        if len(block) >= BLOCK_ROWS:
            await asyncio.to_thread(_replay_block, found, policy, active, block, cost_of)
            block = []
    if block:
        await asyncio.to_thread(_replay_block, found, policy, active, block, cost_of)
    await asyncio.to_thread(_explain, found, policy, active)
    return found


def _replay_block(found: Replay, policy: Policy, active: Policy, rows: Sequence[Recorded], cost_of: CostOf) -> None:
    table = facts_table([msgspec.json.decode(row.facts) for row in rows])
    decisions = decide(policy, table)
    found.decisions += len(rows)
    found.errors += int((decisions.failed | decisions.clamped).sum())
    found.unfaithful += _unfaithful(active, table, rows)
    other = other_terms(policy, table, decisions, Names.of([row.terms or "" for row in rows]))
    pairs = zip(decisions.rule.tolist(), decisions.mode.tolist(), strict=True)
    for at, (row, (rule, mode)) in enumerate(zip(rows, pairs, strict=True)):
        kind = Kind(row.rule, row.mode, decisions.rules[rule], str(MODES[mode]))
        _count(found, table, at, row, kind)
        found.other_terms += bool(other[at]) and kind.mode == row.mode
        found.costs.add(row.mode, kind.mode, cost_of(row))


def _unfaithful(active: Policy, table: Table, rows: Sequence[Recorded]) -> int:
    ours = [at for at, row in enumerate(rows) if row.policy_digest == active.digest]
    if not ours:
        return 0
    again = decide(active, table).mode.tolist()
    return sum(str(MODES[again[at]]) != rows[at].mode for at in ours)


def _count(found: Replay, table: Table, at: int, row: Recorded, kind: Kind) -> None:
    found.modes[kind.mode] += 1
    if kind.mode == row.mode:
        found.unchanged += 1
        found.other_rule += kind.rule != row.rule
    else:
        change = found.changes.setdefault((row.mode, kind.mode), Change())
        change.count += 1
        if len(change.examples) < EXAMPLES:
            change.examples.append(row.stream_id)
    if (kind.rule, kind.mode) == (row.rule, row.mode):
        return
    if kind not in found.rules and len(found.rules) < MAX_KINDS:
        found.rules[kind] = RuleChange(kind, row.stream_id, table.row(at))
    if kind in found.rules:
        found.rules[kind].count += 1


def _explain(found: Replay, policy: Policy, active: Policy) -> None:
    """Find the contexts of the most frequent changes by rule."""
    for change in sorted(found.rules.values(), key=lambda each: -each.count)[:MAX_CONTEXTS]:
        before = change.kind.recorded_rule, change.kind.recorded_mode
        wanted = [(policy, (change.kind.rule, change.kind.mode))]
        if _outcome(active, change.facts) == before:
            wanted.append((active, before))
        change.context = _context(change.facts, wanted)


def _context(facts: Mapping[str, Any], wanted: Sequence[tuple[Policy, tuple[str, str]]]) -> Mapping[str, Any]:
    """The fewest facts for which each policy decides as it does for all of them."""
    return smallest_context(facts, lambda world: all(_outcome(policy, world) == want for policy, want in wanted))


def _outcome(policy: Policy, facts: Mapping[str, Any]) -> tuple[str, str]:
    decision = policy.decide(facts)
    return decision.rule_id, str(decision.mode)
