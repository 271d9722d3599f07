"""What is told of rules and clauses, case by case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policies import Policy, library
from policies.analysis import Finding, Proved, analyse
from tests.policies.documents import HEAD, TAIL, with_rules


def _findings(*whens: str, **spec: Any) -> list[Finding]:
    rules = [(when, "edge") for when in whens]
    return list(analyse(Policy.load(with_rules(rules, default={"mode": "edge"}, **spec))).findings)


def test_the_seed_policy_has_nothing_to_tell() -> None:
    source = (Path(library.__file__).parent / "seed.yaml").read_text()
    report = analyse(Policy.load(source))
    assert report.findings == ()
    assert {each.result for each in report.reach} == {"reached"}
    assert all(isinstance(proof, Proved) for proof in report.proofs)
    json.dumps(report.to_dict())


@pytest.mark.parametrize(
    "when",
    [
        "request.turns > 3 && request.turns < 3",
        "request.turns > 3 && request.turns < 4",
        "request.complexity > 0.5 && request.complexity <= 0.5",
        "request.tenant == 'a' && request.tenant.startsWith('b')",
        "request.tenant.startsWith('ab') && request.tenant >= 'b'",
        "request.task == 'code' && request.task in ['tool', 'other']",
        "request.sensitivity < 'internal' && request.sensitivity > 'public'",
        "device.rtt_ms.orValue(0.0) > 5.0 && !has(device.rtt_ms)",
        "device.present && !device.present",
        "variables.far && device.rtt_ms.orValue(0.0) < 10.0",
        "request.turns + request.prompt_tokens > 5 && request.turns + request.prompt_tokens < 5",
        "bucket(request.tenant, 's') < 10.0 && bucket(request.tenant, 's') >= 20.0",
    ],
)
def test_a_contradictory_condition_is_told(when: str) -> None:
    far = {"name": "far", "expr": "device.rtt_ms.orValue(0.0) > 100.0"}
    found = _findings(when, variables=[far])
    assert [each.code for each in found if each.code != "rule-can-fail"] == [
        "rule-contradictory",
        "clause-contradictory",
    ]
    assert "never hold together" in found[-1].message


@pytest.mark.parametrize(
    "when",
    [
        "request.turns > 3 && request.turns < 5",
        "request.tenant.startsWith('ab') && request.tenant < 'ac'",
        "device.rtt_ms.orValue(9.0) > 5.0 && !has(device.rtt_ms)",
        "request.turns + request.prompt_tokens > 2000",
        "request.turns * request.prompt_tokens == 35 && request.turns == 7",
        "request.tenant.startsWith('q') && request.tenant != 'q'",
        "request.tenant == string(request.tenant > 'm')",
        "request.model.endsWith('.gguf')",
        "request.model.matches('^[a-z]+$') && request.model != 'edgewise'",
        "bucket(device.id.orValue(''), 'salt') < 5.0",
    ],
)
def test_a_condition_that_may_hold_has_a_witness(when: str) -> None:
    report = analyse(Policy.load(with_rules([(when, "cloud")])))
    beyond = any(word in when for word in ("matches", "endsWith", "*", "string("))
    assert report.reach[0].result in (("reached", "unknown") if beyond else ("reached",))


def test_a_shadowed_rule_names_those_that_cover_it() -> None:
    whens = ["request.turns > 5", "device.online", "request.turns < 7", "request.turns == 3", "device.present"]
    found = {each.rule_id: each for each in _findings(*whens)}
    assert found["r3"].code == found["r4"].code == "rule-shadowed"
    report = analyse(Policy.load(with_rules([(when, "edge") for when in whens])))
    assert [each.covered_by for each in report.reach[3:]] == [("r2",), ("r0", "r2"), ("r0", "r2")]


def test_the_gap_has_a_witness() -> None:
    policy = Policy.load(with_rules([("device.present", "edge"), ("request.turns > 1", "cloud")]))
    gap = analyse(policy).reach[-1]
    assert gap.facts is not None
    assert (gap.facts["device.present"], gap.facts["request.turns"]) == (False, 1)


@pytest.mark.parametrize(
    ("when", "codes"),
    [
        ("true", ["rule-always-holds"]),
        ("device.present || !device.present", ["rule-always-holds"]),
        ("request.turns > 5 && request.turns > 3", ["clause-redundant"]),
        ("device.present && (request.turns > 5 || request.turns == 7)", ["clause-redundant"]),
        ("request.turns > 5 || (device.present && !device.present)", ["clause-contradictory"]),
        ("request.turns > 5 && request.turns > 5", ["clause-redundant"]),
        ("has(device.rtt_ms) && device.rtt_ms > 5.0", []),
        ("!has(device.rtt_ms) || device.rtt_ms > 5.0", []),
        ("100 / request.turns > 5", ["rule-can-fail"]),
        ("request.turns != 0 && 100 / request.turns > 5", ["not-known"]),
        ("device.present || 100 / request.turns > 5", ["rule-can-fail"]),
        ("request.task.charAt(20) == ''", ["rule-contradictory", "rule-can-fail", "clause-contradictory"]),
    ],
)
def test_findings_of_one_condition(when: str, codes: list[str]) -> None:
    assert sorted(each.code for each in _findings(when)) == sorted(codes)


def test_a_failing_rule_is_shown_by_facts() -> None:
    (found,) = _findings("100 / request.turns > 5")
    assert found.facts is not None
    assert found.facts["request.turns"] == 0


def test_a_clause_is_told_where_it_stands() -> None:
    text = f"{HEAD}  rules:\n    - id: a\n      when: request.turns > 5 && request.turns > 3\n"
    (found,) = analyse(Policy.load(f"{text}      decide: {{mode: edge}}\n{TAIL}")).findings[1:]
    assert (found.line, found.column) == (7, 34)
    assert found.message.startswith("request.turns > 3 ")


def test_a_rollout_is_part_of_the_condition() -> None:
    listed = [
        {
            "id": name,
            "when": "device.present",
            "rollout": {"percent": percent, "by": "device.id", "salt": "s"},
            "decide": {"mode": mode},
        }
        for name, percent, mode in (("few", 5, "cloud"), ("more", 9, "race"), ("less", 4, "edge"))
    ]
    policy = Policy.load(with_rules([], rules=listed))
    report = analyse(policy)
    assert [each.result for each in report.reach] == ["reached", "reached", "shadowed", "reached"]
    assert report.reach[2].covered_by in (("few",), ("more",))


def test_a_chain_of_variables_does_not_explode() -> None:
    variables = [{"name": "v0", "expr": "request.turns > 3"}, {"name": "n0", "expr": "request.turns"}]
    for at in range(1, 40):
        variables.append({"name": f"v{at}", "expr": f"variables.v{at - 1} == (variables.v{at - 1} || device.present)"})
        variables.append({"name": f"n{at}", "expr": f"device.present ? variables.n{at - 1} : -variables.n{at - 1}"})
    whens = ["variables.v39", "variables.n39 > 5", "variables.n39 > 6"]
    policy = Policy.load(with_rules([(when, "edge") for when in whens], variables=variables))
    assert len(analyse(policy).reach) == 4
