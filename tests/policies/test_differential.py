"""Compiled = naive = vector, the short form of `python -m tests.policies.differential`; the draws are what they say."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

from control_plane.policy_replay.choose import ERROR, positions
from control_plane.policy_replay.columns import Table
from policies.facts import INPUTS
from policies.language.compile import inputs_of
from policies.language.evaluate import choose_naively
from policies.language.typed import Not
from tests.policies import differential
from tests.policies.differential import Drawn, batches, differences, draw_contexts, draw_policy


def test_the_three_ways_decide_alike() -> None:
    pairs = 0
    for count, found in islice(batches(seed=7, rows=500), 100):
        assert not found, str(found[0])
        pairs += count
    assert pairs == 50_000


def test_the_same_seed_draws_the_same_policies_and_contexts() -> None:
    first, second = (random.Random(3) for _ in range(2))
    assert draw_policy(first).texts == draw_policy(second).texts
    assert repr(draw_contexts(first, 50)) == repr(draw_contexts(second, 50))


def test_draws_meet_every_rule_the_default_and_errors() -> None:
    draw = random.Random(4)
    rows = draw_contexts(draw, 300)
    table = Table.of(rows, INPUTS.values())
    drawn = [draw_policy(draw) for _ in range(20)]
    met = {int(at) for policy in drawn for at in positions(table, policy.rules, policy.variables)}
    assert met >= {ERROR, 0, 1, 2, 3}


def test_draws_use_every_kind_of_expression() -> None:
    draw = random.Random(5)
    texts = " ".join(text for _ in range(400) for text in draw_policy(draw).texts)
    for word in ("exists(", "all(", "map(", "filter(", "optMap(", "bind(", "bucket(", "matches(", "in [", "variables."):
        assert word in texts


def test_a_difference_is_found_and_shown() -> None:
    draw = random.Random(6)
    rows = draw_contexts(draw, 50)
    policy = next(drawn for drawn in iter(lambda: draw_policy(draw), None) if not _fails(drawn, rows))
    other = replace(policy, rules=(Not(policy.rules[0].span, policy.rules[0].type, policy.rules[0]),))
    wrong_table = Table.of(draw_contexts(draw, 50), INPUTS.values())
    found = [*differences(policy, rows, wrong_table), *differences(other, rows, wrong_table)]
    assert found and "compiled" in str(found[0]) and policy.texts[-1] in str(found[0])


def _fails(policy: Drawn, rows: list[dict[str, object]]) -> bool:
    """Whether the policy meets one position for all rows, so that no other table could show a difference."""
    needed = inputs_of(policy.rules, policy.variables)
    found = differential._each(lambda facts: choose_naively(policy.rules, policy.variables, needed, facts), rows)
    return len(set(found.tolist())) < 3
