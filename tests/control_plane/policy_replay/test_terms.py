"""Terms in replays: which decisions keep their mode and get other terms. In bulk as one by one."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from control_plane.policy_admin.replay import replay
from control_plane.policy_replay import terms as module
from control_plane.policy_replay.recording import Recording
from control_plane.policy_replay.replay import replay_columns
from policies import Policy, typical_facts
from tests.control_plane.policy_replay.test_replay import Row
from tests.policies.documents import with_rules

PRIVATE: dict[str, Any] = {"request.origin": "device", "request.sensitivity": "personal"}
STEPS = [{"mode": "cloud", "maxTokens": 8}, {"mode": "refuse", "reason": "no room"}]


def policy(**long: Any) -> Policy:
    """Long requests get these terms, short ones a pace; a fallback to the cloud is taken from private ones."""
    rules = [
        {"id": "long", "when": "request.turns > 5", "decide": {"mode": "edge", "fallback": STEPS, **long}},
        {"id": "short", "when": "request.turns < 2", "decide": {"mode": "cloud", "pacing": {"tokensPerSecond": 20}}},
    ]
    return Policy.load(with_rules([], rules=rules))


OLD, NEW, RACING = policy(priority=1), policy(priority=2), policy(mode="race", fallback=[])
WORLDS: tuple[dict[str, Any], ...] = (
    {"request.turns": 1},
    {"request.turns": 3},
    {"request.turns": 9},
    {"request.turns": 9, **PRIVATE},
    {"request.turns": 1, **PRIVATE},
    {"request.turns": "many"},
)


def row(number: int, given: dict[str, Any], by: Policy = OLD) -> Row:
    """What a policy decided in the typical world changed by `given`."""
    facts = typical_facts(given)
    decision = by.decide(facts)
    told = json.dumps(decision.asked())
    return Row(f"s{number}", json.dumps(facts), str(decision.mode), decision.rule_id, by.digest, told)


def other(row: Row, by: Policy) -> bool:
    """The same, judged by one decision."""
    decision = by.decide(json.loads(row.facts))
    same_mode = str(decision.mode) == row.mode
    return same_mode and row.terms is not None and json.loads(row.terms) != decision.asked()


async def pages(rows: Sequence[Row]) -> AsyncIterator[Sequence[Row]]:
    yield rows


@pytest.mark.parametrize("candidate", [NEW, RACING], ids=["other terms", "another mode"])
@pytest.mark.parametrize("dense", [0, 1_000_000])
async def test_it_counts_as_one_decision_after_the_other(
    monkeypatch: pytest.MonkeyPatch, dense: int, candidate: Policy
) -> None:
    rng = random.Random(5)
    rows = [row(number, rng.choice(WORLDS), rng.choice((OLD, NEW, RACING))) for number in range(200)]
    rows = [dataclasses.replace(each, terms=None) if rng.random() < 0.2 else each for each in rows]
    expected = sum(other(each, candidate) for each in rows)
    assert 0 < expected < 100
    monkeypatch.setattr(module, "_MAX_DENSE", dense)
    assert replay_columns(candidate, Recording.of(rows)).other_terms == expected
    assert (await replay(candidate, OLD, pages(rows))).other_terms == expected


async def test_the_same_policy_asks_the_same() -> None:
    """Also where an invariant took a fallback, and its terms with it."""
    rows = [row(number, world) for number, world in enumerate(WORLDS)]
    assert '"max_tokens": 8' in str(rows[2].terms) and '"max_tokens": 8' not in str(rows[3].terms)
    assert (await replay(OLD, OLD, pages(rows))).other_terms == 0
    assert (await replay(NEW, OLD, pages(rows))).other_terms == 2


def test_nothing_recorded_is_nothing_other() -> None:
    rows = [dataclasses.replace(row(0, WORLDS[2]), terms=None)]
    assert replay_columns(NEW, Recording.of(rows)).other_terms == 0
    assert replay_columns(NEW, dataclasses.replace(Recording.of(rows), terms=None)).other_terms == 0
    assert replay_columns(NEW, Recording.of([])).other_terms == 0
