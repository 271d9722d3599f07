"""Bifrost routing rules become policies that decide alike; what has no place here is listed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies import Policy, PolicyError, typical_facts
from policies.interchange import import_bifrost
from tests.policies.interchange.foreign_documents import bifrost, decide, left_out


def test_rules_are_ordered_by_scope_then_priority() -> None:
    text = bifrost(
        {"name": "late", "cel_expression": "true", "priority": 10},
        {"name": "early", "cel_expression": "true", "priority": 2},
        {"name": "customer", "cel_expression": "true", "scope": "customer", "scope_id": "acme", "priority": 99},
    )
    rules = Policy.load(import_bifrost(text).yaml_text).document.rules
    assert [(rule.id, rule.when.text) for rule in rules] == [
        ("customer", 'request.tenant == "acme"'),
        ("early", "true"),
        ("late", "true"),
    ]


@pytest.mark.parametrize(
    ("expression", "facts", "matches"),
    [
        ('model == "gpt-4o"', {"request__model": "gpt-4o"}, True),
        (
            'model.startsWith("gpt") && budget_used > 80',
            {"request__model": "gpt-4", "cloud__budget_left_pct": 10.0},
            True,
        ),
        ('model.startsWith("gpt") && budget_used > 80', {"request__model": "gpt-4"}, False),
        ("budget_used > 80", {"cloud__budget_left_pct": None}, False),
        ('complexity_tier in ["MEDIUM", "COMPLEX"]', {"request__complexity": 0.3}, True),
        ('complexity_tier == "SIMPLE"', {"request__complexity": 0.3}, False),
        ('request_type == "embedding"', {}, False),
        ('["a"].exists(model, model == customer_id)', {"request__tenant": "a"}, True),
        ("", {}, True),
    ],
)
def test_expressions_read_our_facts(expression: str, facts: dict[str, Any], matches: bool) -> None:
    imported = import_bifrost(bifrost({"cel_expression": expression}))
    assert imported.problems == ()
    assert (decide(imported, **facts).rule_id == "r0") is matches


@pytest.mark.parametrize(
    ("rule", "path", "reason"),
    [
        ({"cel_expression": 'provider == "openai"'}, "cel_expression", "no fact tells a provider"),
        ({"cel_expression": 'headers["x-tier"] == "premium"'}, "cel_expression", "no fact holds a header"),
        ({"cel_expression": "request > 90"}, "cel_expression", "how much of a request limit"),
        ({"cel_expression": "length(model) > 5"}, "cel_expression", "length"),
        ({"cel_expression": "model > 5"}, "cel_expression", "string"),
        ({"scope": "team", "scope_id": "x"}, "scope", "no fact tells a team"),
        ({"enabled": False}, "", "switched off"),
        ({"chain_rule": True}, "chain_rule", "not asked again"),
        ({"query": {"rules": []}}, "query", "visual builder"),
        ({"colour": "red"}, "colour", "nothing is known"),
        ({"targets": [{"provider": "groq", "weight": 1}]}, "targets[0].provider", "only its tier"),
        ({"targets": [{"provider": "a", "model": "b", "weight": 1, "key_id": "k"}]}, "targets[0].key_id", "upstream"),
        ({"fallbacks": ["groq/llama"]}, "fallbacks[0]", "the cloud is tried already"),
    ],
)
def test_what_has_no_counterpart_is_told(rule: dict[str, Any], path: str, reason: str) -> None:
    imported = import_bifrost(bifrost(rule))
    assert imported.problems == ()
    at = ".".join(word for word in ("governance.routing_rules[0]", path) if word)
    assert reason in left_out(imported)[at]
    Policy.load(imported.yaml_text)


def test_headers_and_teams_can_be_named() -> None:
    names = {"headers.x-tier": "request.user_tier", "team_id": "request.tenant"}
    text = bifrost({"cel_expression": 'headers["X-Tier"] == "premium"', "scope": "team", "scope_id": "acme"})
    imported = import_bifrost(text, names=names)
    assert imported.unmapped == ()
    assert decide(imported, request__user_tier="premium").rule_id == "r0"
    assert decide(imported, request__user_tier="premium", request__tenant="zoo").rule_id == "default"


def test_targets_and_fallbacks_become_tiers_and_models() -> None:
    rule = {
        "targets": [{"provider": "ollama", "model": "llama3:8b", "weight": 1}],
        "fallbacks": ["openai/gpt-4o", {"provider": "azure", "model": "gpt-4o"}],
        "description": "cheap first",
    }
    imported = import_bifrost(bifrost(rule))
    decision = decide(imported)
    assert (decision.mode, decision.fallback, decision.reason) == ("edge", ("cloud",), "cheap first")
    assert (decision.terms.edge_model, decision.terms.cloud_model) == ("llama3:8b", "openai/gpt-4o")
    assert list(left_out(imported)) == ["governance.routing_rules[0].fallbacks[1]"]


def test_weights_become_nested_shares_of_one_salt() -> None:
    targets = [
        {"provider": "openai", "model": "a", "weight": 0.5},
        {"provider": "openai", "model": "b", "weight": 0.3},
        {"provider": "openai", "model": "never", "weight": 0},
        {"provider": "ollama", "model": "c", "weight": 0.2},
    ]
    imported = import_bifrost(bifrost({"name": "split", "targets": targets}))
    policy = Policy.load(imported.yaml_text)
    rules = policy.document.rules
    dealt = [(rule.rollout.percent, rule.rollout.salt) if rule.rollout else None for rule in rules]
    assert dealt == [(50.0, "split"), (80.0, "split"), None]
    tenants = [policy.decide(typical_facts({"request.tenant": f"t{at}"})).terms for at in range(400)]
    counts = [sum(terms.cloud_model == f"openai/{word}" for terms in tenants) for word in "ab"]
    assert 160 < counts[0] < 240 and 80 < counts[1] < 160
    assert "always alike for a key" in left_out(imported)["governance.routing_rules[0].targets"]


@pytest.mark.parametrize("key", ["routing_rules", "rules", "rule", ""])
def test_every_form_of_the_api_is_read(key: str) -> None:
    rule: Any = {"name": "one", "cel_expression": "true", "provider": "edge", "model": "small"}
    text = json.dumps({key: rule if key == "rule" else [rule]} if key else [rule])
    assert decide(import_bifrost(text)).mode == "edge"


def test_secrets_and_other_sections_are_not_shown() -> None:
    config = json.loads(bifrost({"targets": [{"provider": "a", "model": "b", "weight": 1, "key_id": "sk-123"}]}))
    config |= {"providers": {"openai": {"keys": [{"value": "sk-456"}]}}, "encryption_key": "sk-789"}
    imported = import_bifrost(json.dumps(config))
    assert "providers" in left_out(imported) and "encryption_key" in left_out(imported)
    assert "sk-" not in json.dumps(imported.to_dict())


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"cel_expression": "model =="}, "syntax"),
        ({"cel_expression": ["x"]}, "wrong-type"),
        ({"targets": "x"}, "wrong-type"),
        ({"targets": [{"weight": 1}]}, "missing-key"),
        ({"targets": [{"provider": "a", "model": "b", "weight": -1}]}, "out-of-bounds"),
        ({"scope": "world"}, "unknown-word"),
        ({"priority": "high"}, "wrong-type"),
    ],
)
def test_faults_are_problems_with_a_place(rule: dict[str, Any], code: str) -> None:
    imported = import_bifrost(bifrost(rule))
    assert code in [problem.code for problem in imported.problems]
    assert all(problem.column > 1 for problem in imported.problems)
    Policy.load(imported.yaml_text)


@pytest.mark.parametrize("text", ["", "3", "{}", '{"governance": {}}', '{"rules": 3}', "{"])
def test_what_holds_no_rules_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        import_bifrost(text)
