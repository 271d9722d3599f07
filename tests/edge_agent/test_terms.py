"""Terms of decisions on a device: obeyed for its own tier, told in its records, left to the gateway for the cloud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_agent.cloud import CloudTier
from edgewise.routing.terms import serves
from tests.edge_agent.device import running_device
from tests.factories.bundles import KEY, offered
from tests.policies.documents import with_rules

FALLBACK = {"mode": "cloud", "reason": "the device has another model"}


@pytest.mark.parametrize(
    ("decide", "tier", "terms"),
    [
        ({"mode": "edge", "models": {"edge": "tiny-edge"}}, "edge:phone-1", {"edge_model": "tiny-edge"}),
        (
            {"mode": "edge", "models": {"edge": ">=2"}, "fallback": FALLBACK},
            "cloud:watched",
            {"edge_model": ">=2", "fallback": [FALLBACK | {"max_tokens": None}]},
        ),
        (
            {"mode": "prefer-edge", "timeout": {"soft": "1m"}, "budget": {"maxTokens": 3, "maxCost": 0}},
            "edge:phone-1",
            {"max_tokens": 3, "max_cost": 0, "timeouts": {"soft_s": 60.0}},
        ),
    ],
)
async def test_a_device_obeys_and_records(
    tiny_dir: Path, tmp_path: Path, decide: dict[str, Any], tier: str, terms: dict[str, Any]
) -> None:
    async with running_device(tiny_dir, tmp_path) as device:
        rules = [{"id": "all", "when": "true", "decide": decide}]
        await device.policies.take(offered(with_rules([], rules=rules)), KEY)
        answer = (await device.ask("hello")).json()
        await device.runner.drain(1.0)
        decided = device.records()[0]
    assert answer["edgewise"]["tier"] == tier
    assert answer["usage"]["completion_tokens"] <= terms.get("max_tokens", 8)
    assert json.loads(str(decided.values["terms"])) == terms


async def test_which_model_of_the_cloud_answers_is_the_gateways_choice() -> None:
    async with httpx.AsyncClient() as http:
        assert serves(CloudTier("http://127.0.0.1:1", "key", http).capabilities, "large")
