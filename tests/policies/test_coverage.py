"""Coverage: rules and clauses that the document's tests show, and by line what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from policies import Policy
from policies.coverage import measure
from policies.library import seed_text
from tests.policies.documents import with_rules

RULES = [("request.needs_fresh && request.turns > 3", "edge"), ("device.present", "cloud")]


def case(name: str, **given: Any) -> dict[str, Any]:
    """A test of a document; `__` in names stands for the dot."""
    facts = {key.replace("__", "."): value for key, value in given.items()}
    return {"name": name, "given": facts, "expect": {"mode": "edge"}}


def told(tests: list[dict[str, Any]], rules: list[tuple[str, str]] = RULES) -> tuple[set[tuple[str, str]], int]:
    """What the tests leave uncovered, as (what, text), and the number of goals."""
    coverage = measure(Policy.load(with_rules(rules, tests=tests)))
    return {(each.what, each.text) for each in coverage.uncovered}, coverage.goals


FRESH, TURNS = "request.needs_fresh", "request.turns > 3"


@pytest.mark.parametrize(
    ("tests", "uncovered"),
    [
        (
            [],
            {
                *{(what, FRESH) for what in ("never matched", "never passed over", "never true", "never false")},
                *{(what, TURNS) for what in ("never true", "never false")},
                *{(what, "device.present") for what in ("never matched", "never passed over")},
            },
        ),
        (
            [case("one", request__needs_fresh=True, request__turns=4)],
            {
                ("never passed over", FRESH),
                ("never false", FRESH),
                ("never false", TURNS),
                ("never matched", "device.present"),
                ("never passed over", "device.present"),
            },
        ),
        (
            [
                case("both", request__needs_fresh=True, request__turns=4),
                case("few turns", request__needs_fresh=True),
                case("nothing", device__present=False),
            ],
            set(),
        ),
    ],
)
def test_what_no_test_shows(tests: list[dict[str, Any]], uncovered: set[tuple[str, str]]) -> None:
    assert told(tests) == (uncovered, 8)


def test_what_can_be_only_one_thing_is_no_goal() -> None:
    assert told([case("any")], [("true", "edge")]) == (set(), 1)
    assert told([case("any")], [("device.present && true", "edge")])[1] == 4


def test_a_failing_evaluation_shows_what_it_looked_at() -> None:
    rules = [("device.present && 1 / request.turns == 1", "edge"), ("true", "cloud")]
    uncovered, _ = told([case("error", request__turns=0)], rules)
    assert ("never true", "device.present") not in uncovered
    assert ("never true", "1 / request.turns == 1") in uncovered and ("never matched", "true") in uncovered


def test_counts_and_percent() -> None:
    coverage = measure(Policy.load(with_rules(RULES, tests=[case("a"), case("b")])))
    first, second = coverage.rules
    assert (first.matched, first.not_matched, second.matched, coverage.tests) == (0, 2, 2, 2)
    assert (first.clauses[0].seen_false, first.clauses[1].seen_false) == (2, 0)
    assert (coverage.reached, coverage.percent) == (3, 37.5)
    assert coverage.to_dict()["percent"] == 37.5 and coverage.to_dict()["rules"][0]["clauses"][0]["text"] == FRESH


def test_a_policy_without_rules_is_covered() -> None:
    assert measure(Policy.load(with_rules([]))).percent == 100.0


def test_the_library_is_covered_and_the_rest_is_placed() -> None:
    coverage = measure(Policy.load(seed_text()))
    assert coverage.percent > 90.0 and all(rule.matched for rule in coverage.rules)
    lines = seed_text().splitlines()
    for each in coverage.uncovered:
        assert lines[each.line - 1][each.column - 1 :].startswith(each.text), str(each)
