"""Replays by blocks: the same counts as one decision after the other, and what explains each change of rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from control_plane.policy_admin import replay as replaying
from control_plane.policy_admin.costs import cost_by
from control_plane.policy_admin.replay import EXAMPLES, Change, Kind, replay
from control_plane.usage.limits import FREE, Price, Prices
from policies import Policy
from tests.control_plane.policy_admin.test_service import small

OLD = Policy.load(small("old"))
CONDITION = "request.complexity < 0.5 && !request.needs_fresh || request.complexity > 0.8"
NEW = Policy.load(small("new").replace("request.complexity < 0.5", CONDITION))
WORLD = {"request.sensitivity": "public", "request.origin": "control_plane"}


@dataclass(frozen=True)
class Row:
    stream_id: str
    facts: str
    mode: str
    rule: str
    policy_digest: str = "another"
    terms: str | None = None
    tier: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def recorded(facts: dict[str, Any], number: int, digest: str = "another") -> Row:
    """A decision as the old policy made it."""
    decision = OLD.decide(facts)
    return Row(f"s{number}", json.dumps(facts), str(decision.mode), decision.rule_id, digest)


async def pages(rows: Sequence[Row], size: int = 3) -> AsyncIterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def some(count: int) -> list[Row]:
    """Decisions of all kinds: some change, some fail, some have no complexity at all."""
    worlds: list[dict[str, Any]] = [
        {**WORLD, "request.complexity": 0.1, "device.rtt_ms": 5.0},
        {**WORLD, "request.complexity": 0.1, "request.needs_fresh": True},
        {**WORLD, "request.complexity": 0.6, "device.rtt_ms": 900.0},
        {**WORLD, "request.complexity": 0.9},
        {**WORLD, "request.complexity": "high"},
        WORLD,
    ]
    return [recorded(worlds[number % len(worlds)], number) for number in range(count)]


async def test_it_counts_as_one_decision_after_the_other() -> None:
    rows = [*some(50), Row("s50", json.dumps(WORLD), "cloud", "of-old")]
    found = await replay(NEW, OLD, pages(rows))
    decisions = [NEW.decide(json.loads(row.facts)) for row in rows]
    pairs = list(zip(rows, decisions, strict=True))
    assert found.decisions == 51
    assert found.unchanged == sum(row.mode == after.mode for row, after in pairs)
    assert found.other_rule == sum(row.mode == after.mode and row.rule != after.rule_id for row, after in pairs) == 1
    assert found.errors == sum(bool(after.errors) for after in decisions) > 0
    assert found.modes == Counter(str(after.mode) for after in decisions)
    changed = [(row.mode, str(after.mode), row.stream_id) for row, after in pairs if row.mode != after.mode]
    expected: dict[tuple[str, str], Change] = {}
    for before, after, stream in changed:
        change = expected.setdefault((before, after), Change())
        change.count += 1
        change.examples = [*change.examples, stream][:EXAMPLES]
    assert found.changes == expected and len(expected) == 2


async def test_each_change_of_rules_is_explained_by_the_fewest_facts() -> None:
    found = await replay(NEW, OLD, pages(some(12)))
    told = {kind: (change.count, change.stream_id, change.context) for kind, change in found.rules.items()}
    assert told == {
        Kind("only", "edge", "default", "cloud"): (2, "s1", {"request.complexity": 0.1, "request.needs_fresh": True}),
        Kind("default", "cloud", "only", "edge"): (2, "s3", {"request.complexity": 0.9}),
    }


async def test_what_the_policy_in_force_would_not_repeat_is_counted() -> None:
    rows = [recorded(WORLD, 1, OLD.digest), Row("s2", json.dumps(WORLD), "refuse", "x", OLD.digest)]
    assert (await replay(OLD, OLD, pages(rows))).unfaithful == 1
    assert (await replay(OLD, OLD, pages([]))).decisions == 0


async def test_blocks_are_bounded_and_join() -> None:
    rows = some(6) * (replaying.BLOCK_ROWS // 4)
    found = await replay(NEW, OLD, pages(rows, 1000))
    assert found.decisions == sum(found.modes.values()) == len(rows) > replaying.BLOCK_ROWS
    assert sum(change.count for change in found.changes.values()) == len(rows) // 3
    assert all(len(change.examples) == EXAMPLES for change in found.changes.values())


async def test_what_changes_costs_as_much_as_the_average_of_the_new_mode() -> None:
    costs = {"s0": 2, "s1": 4, "s2": 10, "s3": 30, "s7": 6}
    rows = some(8)
    found = await replay(NEW, OLD, pages(rows), lambda row: costs.get(row.stream_id))
    assert [row.mode for row in rows[:4]] == ["edge", "edge", "cloud", "cloud"]
    assert found.costs.of("edge", "cloud") == (10, 40.0)
    assert found.costs.of("cloud", "edge") == (30, 4.0)
    assert (found.costs.total, found.costs.expected) == (52, 52 + 30 - 26)


async def test_a_mode_without_recorded_costs_is_not_guessed() -> None:
    found = await replay(NEW, OLD, pages(some(6)), lambda row: 4 if row.stream_id == "s1" else None)
    assert found.costs.of("edge", "cloud") == (4, None)
    assert (found.costs.total, found.costs.expected) == (4, None)
    assert (await replay(NEW, OLD, pages(some(6)))).costs.total is None


def test_an_answer_costs_what_its_tier_costs_once_it_has_ended() -> None:
    cost = cost_by(Prices(cloud=Price(prompt_per_1k=1000, completion_per_1k=2000)))
    row = Row("s", "{}", "cloud", "r", tier="cloud:worker-0", prompt_tokens=10, completion_tokens=5)
    assert cost(row) == 20
    assert cost(replace(row, tier="edge:phone")) == 0
    assert cost(replace(row, completion_tokens=None)) is cost(replace(row, tier=None)) is None
    assert cost_by(FREE)(row) is None


async def test_kinds_of_change_are_bounded() -> None:
    more = replaying.MAX_KINDS + 20
    rows = [Row(f"s{number}", json.dumps(WORLD), "race", f"rule-{number}") for number in range(more)]
    found = await replay(NEW, OLD, pages(rows, 100))
    assert (len(found.rules), found.decisions) == (replaying.MAX_KINDS, more)
    explained = [change for change in found.rules.values() if change.context is not None]
    assert len(explained) == replaying.MAX_CONTEXTS
