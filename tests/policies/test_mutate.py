"""Mutants: which changes are tried, that sharp tests notice them, and that survivors are placed."""

from __future__ import annotations

from typing import Any

import pytest

from policies import Policy, typical_facts
from policies.library import seed_text
from policies.mutate import mutate
from policies.mutations import mutations
from tests.policies.documents import with_rules


def changes(rules: list[tuple[str, str]], kind: str, **spec: Any) -> list[str]:
    """The changes of one kind, in words."""
    policy = Policy.load(with_rules(rules, **spec))
    return [each.change for each in mutations(policy.document, policy.trees) if each.kind == kind]


@pytest.mark.parametrize(
    ("condition", "kind", "expected"),
    [
        ("request.turns > 3", "operator", ["> became >="]),
        ("request.turns <= 3", "operator", ["<= became <"]),
        ("request.task == 'code'", "operator", ["== became !="]),
        ("request.turns > 3", "constant", ["3 became 2", "3 became 4"]),
        ("request.complexity < 0.3", "constant", ["0.3 became 0.29", "0.3 became 0.31"]),
        ("request.turns == -9223372036854775808", "constant", ["-9223372036854775808 became -9223372036854775807"]),
        ("request.task == 'code'", "constant", ["'code' became 'tool'"]),
        ("request.sensitivity >= 'secret'", "constant", ["'secret' became 'public'"]),
        ("request.tenant in ['a', 'b']", "constant", ["'a' became 'ax'", "'b' became 'bx'"]),
        ("request.tenant.startsWith('a')", "constant", ["'a' became 'ax'"]),
        ("request.tenant.matches('a')", "constant", []),
        (
            "device.online && device.present",
            "clause-dropped",
            ["device.online was dropped", "device.present was dropped"],
        ),
        (
            "device.online && !device.present",
            "clause-negated",
            ["device.online was negated", "device.present was negated"],
        ),
        ("request.turns == 3", "clause-negated", []),
        ("has(device.rtt_ms) && device.rtt_ms > 3.0", "clause-negated", ["device.rtt_ms > 3.0 was negated"]),
        ("has(device.rtt_ms) && device.rtt_ms > 3.0", "clause-dropped", ["device.rtt_ms > 3.0 was dropped"]),
        ("true", "rule-dropped", ["the rule was dropped"]),
        ("true", "mode", ["the mode cloud became edge"]),
        ("true", "default", ["the mode race became edge"]),
    ],
)
def test_what_is_changed(condition: str, kind: str, expected: list[str]) -> None:
    assert changes([(condition, "cloud")], kind) == expected


def test_neighbours_that_decide_differently_are_swapped() -> None:
    rules = [("device.present", "edge"), ("device.online", "edge"), ("true", "cloud")]
    assert changes(rules, "rules-swapped") == ["the rule changed places with r2"]


def test_variables_are_changed_too() -> None:
    variables = [{"name": "many", "expr": "request.turns > 3"}]
    assert changes([("variables.many", "edge")], "operator", variables=variables) == ["> became >="]


def edge_case(name: str, mode: str, **given: Any) -> dict[str, Any]:
    """A test of a document that expects a mode."""
    return {"name": name, "given": {f"request.{key}": value for key, value in given.items()}, "expect": {"mode": mode}}


SHARP = [
    edge_case("at the limit", "race", turns=3),
    edge_case("past the limit", "cloud", turns=4),
    edge_case("far past", "cloud", turns=5),
]


def test_sharp_tests_notice_everything() -> None:
    report = mutate(Policy.load(with_rules([("request.turns > 3", "cloud")], tests=SHARP)))
    assert report.survivors == () and report.percent == 100.0 and report.tried == report.possible > 5


def test_blunt_tests_are_told_what_they_miss() -> None:
    text = with_rules([("request.turns > 3", "cloud")], tests=[SHARP[2]])
    report = mutate(Policy.load(text))
    missed = {mutant.change: mutant for mutant in report.survivors}
    assert set(missed) == {"> became >=", "3 became 2", "3 became 4", "the mode race became edge"}
    constant = missed["3 became 2"]
    assert text.splitlines()[constant.line - 1][constant.column - 1] == "3"
    assert report.killed == report.tried - 4 and report.to_dict()["survivors"][0]["owner"] == "r0"


def test_without_tests_everything_survives() -> None:
    report = mutate(Policy.load(with_rules([("request.turns > 3", "cloud")])))
    assert report.killed == 0 and report.percent == 0.0


def test_a_test_that_fails_anyway_notices_nothing() -> None:
    wrong = edge_case("wrong", "refuse", turns=5)
    assert mutate(Policy.load(with_rules([("request.turns > 3", "cloud")], tests=[wrong]))).killed == 0


def test_a_sample_is_bounded_and_the_same_for_the_same_seed() -> None:
    policy = Policy.load(seed_text())
    report = mutate(policy, limit=8, seed=3)
    assert report.tried == 8 < report.possible and report == mutate(policy, limit=8, seed=3)


def test_every_change_makes_a_policy_that_decides() -> None:
    policy = Policy.load(with_rules([("request.turns > 3 && device.present", "cloud"), ("device.online", "edge")]))
    for each in mutations(policy.document, policy.trees):
        document, trees = each.make()
        assert (document, trees) != (policy.document, policy.trees), each.change
        assert not Policy(document, trees, policy.source).decide(typical_facts({})).errors
