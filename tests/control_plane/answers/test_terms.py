"""A gateway obeys the terms of the policy in force, and records them: real nodes, token log, SQL and HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane.usage.limits import Price, Prices
from tests.factories.control import WORDS, Control, own_log_server, running_control, with_nodes
from tests.policies.documents import with_rules

PRICES = Prices(cloud=Price(completion_per_1k=10_000))
"""A token of the cloud costs ten micro-units."""


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    with own_log_server() as log_url:
        async with running_control(tmp_path, log_url, prices=PRICES) as running, with_nodes(running):
            yield running


async def ask(control: Control, decide: dict[str, Any], **fields: Any) -> tuple[httpx.Response, dict[str, Any]]:
    """An answer while a policy decides this for everybody, and what is recorded of it (nothing where it is refused)."""
    text = with_rules([], rules=[{"id": "all", "when": "true", "decide": decide}])
    async with control.client() as operator, control.client(control.keys.app) as app:
        made = await operator.post("/admin/v1/policies", json={"text": text, "activate": True})
        assert made.is_success, made.text
        body = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}], **fields}
        answer = await app.post("/v1/chat/completions", json=body)
        stream = answer.headers.get("x-edgewise-stream-id")
        recorded = (await operator.get(f"/admin/v1/decisions/{stream}")).json() if stream else {}
    return answer, recorded


async def test_terms_are_obeyed_and_recorded(control: Control) -> None:
    """One gateway, one policy after the other; each is in force for the very next request."""
    answer, recorded = await ask(control, {"mode": "cloud", "models": {"cloud": "tiny-cloud"}})
    assert answer.json()["edgewise"]["tier"] == "cloud:worker-0"
    assert recorded["terms"] == {"cloud_model": "tiny-cloud"}

    decide = {"mode": "prefer-cloud", "models": {"cloud": ">=2"}, "timeout": {"soft": "5s", "total": "1m"}}
    answer, recorded = await ask(control, decide)
    assert answer.json()["edgewise"]["tier"] == recorded["last_tier"] == "edge:edge-0"
    assert recorded["terms"] == {"cloud_model": ">=2", "timeouts": {"soft_s": 5.0, "total_s": 60.0}}

    answer, _ = await ask(control, {"mode": "cloud", "models": {"cloud": "tiny-edge"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_tier_available")

    fallback = {"mode": "edge", "maxTokens": 2, "reason": "the cloud has another model"}
    answer, recorded = await ask(control, {"mode": "cloud", "models": {"cloud": "large"}, "fallback": [fallback]})
    assert answer.json()["usage"]["completion_tokens"] == recorded["completion_tokens"] == 2
    assert answer.json()["edgewise"]["warnings"][0]["message"] == "the cloud has another model"
    assert recorded["terms"]["fallback"] == [{"mode": "edge", "max_tokens": 2, "reason": fallback["reason"]}]

    answer, recorded = await ask(control, {"mode": "cloud", "budget": {"maxCost": 35}})
    assert (answer.json()["usage"]["completion_tokens"], recorded["finish"]) == (3, "length")
    answer, _ = await ask(control, {"mode": "edge", "budget": {"maxCost": 0}})
    assert answer.json()["choices"][0]["message"]["content"] == "".join(WORDS)
    answer, _ = await ask(control, {"mode": "cloud", "budget": {"maxCost": 9}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "refused_by_policy")

    answer, recorded = await ask(control, {"mode": "cloud", "pacing": {"tokensPerSecond": 200}}, stream=True)
    assert answer.text.rstrip().endswith("data: [DONE]") and recorded["terms"] == {"tokens_per_s": 200.0}
