"""Small foreign documents for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from policies import Decision, Policy, typical_facts
from policies.interchange import Imported


def bifrost(*rules: dict[str, Any]) -> str:
    """A config with these rules; a rule without targets goes to openai/gpt-4o."""
    targets = [{"provider": "openai", "model": "gpt-4o", "weight": 1}]
    whole = [{"name": f"r{at}", "targets": targets, **rule} for at, rule in enumerate(rules)]
    return json.dumps({"governance": {"routing_rules": whole}})


def deployment(group: str, model: str, **params: Any) -> dict[str, Any]:
    """An entry of a LiteLLM `model_list`."""
    return {"model_name": group, "litellm_params": {"model": model, **params}}


def litellm(models: Sequence[dict[str, Any]], **settings: Any) -> str:
    """A config with these models and router settings."""
    return json.dumps({"model_list": list(models), "router_settings": settings})


def decide(imported: Imported, /, **given: Any) -> Decision:
    """What the imported policy decides in the typical world, changed by facts with `__` for the dot."""
    facts = {name.replace("__", ".", 1): value for name, value in given.items()}
    return Policy.load(imported.yaml_text).decide(typical_facts(facts))


def left_out(imported: Imported) -> dict[str, str]:
    """Path to reason of all that has no counterpart."""
    return {each.path: each.reason for each in imported.unmapped}
