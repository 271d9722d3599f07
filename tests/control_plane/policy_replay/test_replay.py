"""A replay in bulk counts as the one by one does, and explains each change by its smallest context."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from control_plane.policy_admin.replay import replay
from control_plane.policy_replay import replay as module
from control_plane.policy_replay.recording import Recording, gather
from control_plane.policy_replay.replay import Outlook, replay_columns
from policies import Policy, typical_facts
from tests.policies.documents import with_rules

OLD = Policy.load(with_rules([("device.battery_pct.orValue(100.0) < 10.0", "cloud"), ("request.needs_fresh", "cloud")]))
NEW = Policy.load(with_rules([("device.battery_pct.orValue(100.0) < 30.0", "cloud"), ("request.turns > 5", "edge")]))


@dataclass(frozen=True)
class Row:
    """A recorded decision."""

    stream_id: str
    facts: str
    mode: str
    rule: str
    policy_digest: str
    terms: str | None = None
    tier: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def recorded(*given: dict[str, Any], by: Policy = OLD) -> list[Row]:
    """What the old policy decided in the typical world changed by `given`."""
    rows = []
    for at, change in enumerate(given):
        facts = typical_facts(change)
        decision = by.decide(facts)
        terms = json.dumps(decision.asked())
        rows.append(Row(f"s{at}", json.dumps(facts), str(decision.mode), decision.rule_id, by.digest, terms))
    return rows


CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"device.battery_pct": 20.0, "request.tenant": "x", "request.turns": 2},
    {"device.battery_pct": 5.0},
    {"request.needs_fresh": True, "device.rtt_ms": None},
    {"request.turns": 9, "request.needs_fresh": True, "request.task": "code"},
    {"device.battery_pct": 21.0},
    {"device.battery_pct": "full"},
)


async def pages(rows: Sequence[Row]) -> AsyncIterator[Sequence[Row]]:
    """Two at a time."""
    for start in range(0, len(rows), 2):
        yield rows[start : start + 2]


async def test_it_counts_as_the_replay_one_by_one() -> None:
    rows = recorded(*CHANGES)
    single = await replay(NEW, OLD, pages(rows))
    bulk = replay_columns(NEW, await gather(pages(rows)), OLD)
    assert bulk.decisions == single.decisions == len(CHANGES)
    assert (bulk.unchanged, bulk.other_rule, bulk.errors) == (single.unchanged, single.other_rule, single.errors)
    assert bulk.unfaithful == single.unfaithful == 0
    assert bulk.modes == dict(single.modes)
    moved: dict[tuple[str, str], int] = {}
    for change in bulk.changes:
        if change.recorded_mode != change.mode:
            pair = (change.recorded_mode, change.mode)
            moved[pair] = moved.get(pair, 0) + change.count
    assert moved == {pair: each.count for pair, each in single.changes.items()}


def contexts(found: Outlook) -> dict[tuple[str, str], Any]:
    """The context of each pair of rules."""
    return {(change.recorded_rule, change.rule): change.context for change in found.changes}


@pytest.mark.parametrize("dense", [1, 1_000_000])
def test_each_change_has_its_smallest_context(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_DENSE", dense)
    found = replay_columns(NEW, Recording.of(recorded(*CHANGES)), OLD)
    assert contexts(found) == {
        ("default", "r0"): {"device.battery_pct": 20.0},
        ("r1", "default"): {"request.needs_fresh": True},
        ("r1", "r1"): {"request.needs_fresh": True, "request.turns": 9},
    }
    assert [change.count for change in found.changes] == [2, 1, 1]
    assert found.changes[0].stream_id == "s1" and found.changes[0].example == 1
    assert found.rules == {"r0": 3, "r1": 1, "default": 2, "onError": 1}
    json.dumps(found.to_dict())


def test_costs_are_told_where_they_are_recorded() -> None:
    rows = recorded(*CHANGES[:5])
    costs = [1.0, 3.0, 10.0, None, 7.0]
    found = replay_columns(NEW, Recording.of(rows, costs))
    by_rule = {(change.recorded_rule, change.rule): change for change in found.changes}
    assert by_rule["default", "r0"].cost == 3.0
    assert by_rule["default", "r0"].expected_cost == pytest.approx(8.5)  # the mean of 10 and 7, which the cloud cost
    assert by_rule["r1", "default"].cost is None and by_rule["r1", "r1"].expected_cost is None
    assert all(change.cost is None for change in replay_columns(NEW, Recording.of(rows)).changes)


def test_what_cannot_be_repeated_is_unfaithful() -> None:
    (row,) = recorded({"request.needs_fresh": True})
    forgotten = Row(row.stream_id, json.dumps(typical_facts({})), row.mode, row.rule, row.policy_digest)
    other = Row("s1", forgotten.facts, row.mode, row.rule, "of-another")
    assert replay_columns(OLD, Recording.of([forgotten, other]), OLD).unfaithful == 1


def test_names_that_are_no_longer_known_count_as_changed() -> None:
    (row,) = recorded({})
    strange = Row("s0", row.facts, "teleport", "gone", "x")
    found = replay_columns(OLD, Recording.of([strange]))
    assert (found.unchanged, found.changes[0].recorded_mode, found.changes[0].mode) == (0, "teleport", "race")


def test_nothing_recorded() -> None:
    found = replay_columns(NEW, Recording.of([]), OLD)
    assert found.decisions == 0 and found.changes == () and found.modes == {}
    assert replay_columns(NEW, Recording.of([], []), OLD).changes == ()


def test_costs_are_columns_of_doubles() -> None:
    recording = Recording.of(recorded({}), [None])
    assert recording.cost is not None and np.isnan(recording.cost).all()
