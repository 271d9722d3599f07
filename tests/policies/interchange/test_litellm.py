"""LiteLLM router settings become policies; strategies and fallbacks that do not map are listed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies import Policy, PolicyError
from policies.interchange import import_litellm
from tests.policies.interchange.foreign_documents import decide, deployment, left_out, litellm

SMALL, LARGE = deployment("small", "ollama/llama3"), deployment("large", "openai/gpt-4o")


def test_a_group_is_a_rule_for_its_name() -> None:
    imported = import_litellm(litellm([SMALL, LARGE]))
    assert imported.unmapped == () and imported.problems == ()
    small, large = decide(imported, request__model="small"), decide(imported, request__model="large")
    assert (small.mode, small.terms.edge_model, small.rule_id) == ("edge", "llama3", "small")
    assert (large.mode, large.terms.cloud_model, large.reason) == ("cloud", "openai/gpt-4o", "the model group large")
    assert decide(imported, request__model="huge").mode == "refuse"


@pytest.mark.parametrize(
    "settings",
    [
        {"fallbacks": [{"small": ["large"]}]},
        {"fallbacks": [{"*": ["large"]}]},
        {"default_fallbacks": ["large"]},
    ],
)
def test_fallbacks_lead_to_the_other_tier(settings: dict[str, Any]) -> None:
    decision = decide(import_litellm(litellm([SMALL, LARGE], **settings)), request__model="small")
    assert (decision.fallback, decision.terms.cloud_model) == (("cloud",), "openai/gpt-4o")


def test_conversations_beyond_the_window_go_to_the_larger_group() -> None:
    small = {**SMALL, "model_info": {"max_input_tokens": 4096}}
    imported = import_litellm(litellm([small, LARGE], context_window_fallbacks=[{"small": ["large"]}]))
    assert decide(imported, request__model="small", request__context_tokens=4096).mode == "edge"
    assert decide(imported, request__model="small", request__context_tokens=4097).rule_id == "small-too-long"
    unknown = import_litellm(litellm([SMALL, LARGE], context_window_fallbacks=[{"small": ["large"]}]))
    assert "does not tell how much" in left_out(unknown)["router_settings.context_window_fallbacks[0].small[0]"]


def test_tags_are_user_tiers() -> None:
    models = [
        deployment("chat", "openai/mini", tags=["free", "trial"]),
        deployment("chat", "openai/large", tags=["paid"]),
        deployment("chat", "openai/middle", tags=["default"]),
    ]
    imported = import_litellm(litellm(models, enable_tag_filtering=True))
    found = [decide(imported, request__model="chat", request__user_tier=tier) for tier in ("trial", "paid", "x")]
    assert [each.terms.cloud_model for each in found] == ["openai/mini", "openai/large", "openai/middle"]
    off = import_litellm(litellm(models))
    assert left_out(off)["model_list[0].litellm_params.tags"] == "tag filtering is off"


@pytest.mark.parametrize(
    ("first", "second", "percent"),
    [
        ({"weight": 3, "rpm": 1}, {"weight": 1, "rpm": 100}, 75.0),
        ({"rpm": 900}, {"rpm": 100}, 90.0),
        ({"tpm": 1}, {}, None),
        ({}, {}, 50.0),
    ],
)
def test_deployments_of_a_group_share_it_as_a_shuffle_does(
    first: dict[str, Any], second: dict[str, Any], percent: float | None
) -> None:
    models = [deployment("chat", "azure/a", **first), deployment("chat", "openai/b", **second)]
    imported = import_litellm(litellm(models))
    rules = Policy.load(imported.yaml_text).document.rules
    assert [rule.rollout.percent for rule in rules if rule.rollout] == ([] if percent is None else [percent])


def test_deployments_of_a_later_order_are_tried_next() -> None:
    models = [deployment("chat", "openai/a", order=2), deployment("chat", "ollama/b", order=1)]
    decision = decide(import_litellm(litellm(models)), request__model="chat")
    assert (decision.mode, decision.fallback) == ("edge", ("cloud",))


def test_patterns_come_after_names_and_long_ones_first() -> None:
    models = [deployment("*", "openai/*"), deployment("gpt-*", "ollama/g"), deployment("gpt-4", "azure/four")]
    imported = import_litellm(litellm(models, model_group_alias={"four": "gpt-4", "other": {"model": "gone"}}))
    rules = [decide(imported, request__model=model).rule_id for model in ("gpt-4", "four", "gpt-x", "y")]
    assert rules[0] == rules[1] == "gpt-4" and rules[2] == "gpt" and rules[3] == "rule"
    assert decide(imported, request__model="y").terms.cloud_model == ""
    assert {"model_list[0].litellm_params.model", "router_settings.model_group_alias.other"} <= left_out(
        imported
    ).keys()


def test_limits_of_time_and_length_are_taken_over() -> None:
    models = [deployment("chat", "openai/a", stream_timeout=90, max_tokens=500)]
    decision = decide(import_litellm(litellm(models, timeout=30.5)), request__model="chat")
    assert (decision.timeouts.total_s, decision.timeouts.first_token_s) == (30.5, 30.5)
    assert decision.terms.max_tokens == 500
    long = import_litellm(litellm(models, timeout=6000))
    assert "at most 3600 s" in left_out(long)["model_list[0].timeout"]


@pytest.mark.parametrize(
    ("settings", "path", "reason"),
    [
        ({"routing_strategy": "least-busy"}, "routing_strategy", "known to the tier alone"),
        ({"num_retries": 3}, "num_retries", "upstream's own"),
        ({"content_policy_fallbacks": []}, "content_policy_fallbacks", "refused the content"),
        ({"fallbacks": [{"small": ["gone"]}]}, "fallbacks[0].small[0]", "no such model group"),
        ({"tag_filtering_match_any": True}, "tag_filtering_match_any", "one tag"),
        ({"colour": 1}, "colour", "nothing is known"),
    ],
)
def test_settings_without_a_counterpart_are_told(settings: dict[str, Any], path: str, reason: str) -> None:
    imported = import_litellm(litellm([SMALL], **settings))
    assert reason in left_out(imported)[f"router_settings.{path}"]


def test_secrets_are_not_shown() -> None:
    models = [deployment("chat", "openai/a", api_key="sk-1", api_base="https://sk-2", aws_secret_access_key="sk-3")]
    config = {**json.loads(litellm(models, redis_password="sk-4")), "general_settings": {"master_key": "sk-5"}}
    imported = import_litellm(json.dumps(config))
    assert len(imported.unmapped) == 5
    assert "sk-" not in json.dumps(imported.to_dict())


@pytest.mark.parametrize(
    ("models", "code"),
    [
        ([{"model_name": "x"}], "missing-key"),
        ([deployment("x", "y", weight="heavy")], "wrong-type"),
        ([3], "wrong-type"),
        ([deployment("x", "y", max_tokens=1.5)], "wrong-type"),
    ],
)
def test_faults_are_problems_with_a_place(models: list[Any], code: str) -> None:
    imported = import_litellm(json.dumps({"model_list": [*models, SMALL]}))
    assert code in [problem.code for problem in imported.problems]
    assert decide(imported, request__model="small").mode == "edge"


@pytest.mark.parametrize("text", ["", "[]", "model_list:", "router_settings: {}", "x: *y"])
def test_what_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        import_litellm(text)
