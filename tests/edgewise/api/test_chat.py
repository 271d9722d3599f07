"""POST /v1/chat/completions: both forms, and each error where it belongs."""

import dataclasses
import json
from typing import Any

import pytest

from edgewise.wire.errors import TierLostError, TierRefusedError
from policies import Decision, Mode, Terms
from tests.edgewise.api.conftest import WORDS, Api


def data_of(body: str) -> list[str]:
    return [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]


def text_of(body: str) -> str:
    chunks: list[dict[str, Any]] = [json.loads(item) for item in data_of(body) if item != "[DONE]"]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk.get("choices"))


async def test_a_streamed_answer(api: Api) -> None:
    response = await api.ask(stream=True)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert text_of(response.text) == "".join(WORDS)
    assert data_of(response.text)[-1] == "[DONE]"
    sid = response.headers["x-edgewise-stream-id"]
    assert response.headers["location"] == f"/v1/streams/{sid}"
    assert response.headers["x-edgewise-rule"] == "%E8%A7%84%E5%88%99%201"


async def test_a_whole_answer(api: Api) -> None:
    body = (await api.ask()).json()
    assert body["choices"][0]["message"]["content"] == "".join(WORDS)
    assert body["edgewise"]["rule"] == "规则 1"
    assert body["usage"]["completion_tokens"] == len(WORDS)


async def test_what_the_policy_sees(api: Api) -> None:
    await api.ask(edgewise={"mode": "edge", "device": "d", "sensitivity": "secret"}, max_tokens=9)
    facts = api.host.seen[0]
    assert facts["request.wants_mode"] == "edge"
    assert facts["request.wants_device"] == "d"
    assert facts["request.sensitivity"] == "secret"
    assert facts["request.max_tokens"] == 9
    assert facts["request.context_tokens"] == facts["request.prompt_tokens"] + 9


async def test_what_is_remembered_has_no_text(api: Api) -> None:
    await api.ask(messages=[{"role": "user", "content": "my made-up secret"}])
    await api.runner.drain(5)
    (admission,), (outcome,) = api.host.admissions, api.host.outcomes
    assert "made-up" not in repr(admission)
    assert outcome.finish == "stop"


@pytest.mark.parametrize(("wish", "most", "granted"), [(9, 4, 4), (3, 4, 3), (None, 4, 4), (9, None, 9)])
async def test_the_policy_bounds_the_length(api: Api, wish: int | None, most: int | None, granted: int) -> None:
    api.host.decision = dataclasses.replace(api.host.decision, terms=Terms(max_tokens=most))
    fields: dict[str, Any] = {} if wish is None else {"max_tokens": wish}
    await api.ask(**fields)
    assert api.host.scripted[0].states[0].max_tokens == granted == api.host.reserved[0][2]


async def test_the_state_holds_the_clients_wishes(api: Api) -> None:
    await api.ask(seed=5, temperature=0.25, stop="X", max_tokens=3)
    state = api.host.scripted[0].states[0]
    assert (state.seed, state.sampling.temperature, state.stops, state.max_tokens) == (5, 0.25, ("X",), 3)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "nope"}, 404, "model_not_found"),
        ({"messages": []}, 400, "invalid_request"),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, 400, "context_length_exceeded"),
        ({"edgewise": {"sensitivity": "cosmic"}}, 400, "invalid_request"),
        ({"edgewise": {"mode": "nonsense"}}, 400, "invalid_request"),
        ({"n": 3}, 400, "unsupported_parameter"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_bad_request_is_an_http_error(
    api: Api, fields: dict[str, Any], status: int, code: str, stream: bool
) -> None:
    response = await api.ask(stream=stream, **fields)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.headers["x-should-retry"] == "false"


async def test_no_key_malformed_json_and_a_huge_body(api: Api) -> None:
    post = api.client.post
    assert (await post("/v1/chat/completions", json={})).status_code == 401
    assert (await post("/v1/chat/completions", content=b"{", headers=api.as_key("a"))).status_code == 400
    huge = b" " * (2 * 1024 * 1024 + 1)
    assert (await post("/v1/chat/completions", content=huge, headers=api.as_key("a"))).status_code == 413


async def test_a_refusal_by_the_policy_names_the_rule(api: Api) -> None:
    api.host.decision = Decision(mode=Mode("refuse"), rule_id="no-go", reason="the device is away")
    error = (await api.ask()).json()["error"]
    assert (error["code"], "no-go" in error["where"], "the device is away" in error["message"]) == (
        "refused_by_policy",
        True,
        True,
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_no_first_token_is_an_http_error_that_may_be_retried(api: Api, stream: bool) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", fails_at=0, error=TierRefusedError("queue is full"))]
    response = await api.ask(stream=stream)
    assert response.status_code == 503
    assert "queue is full" in response.json()["error"]["message"]
    assert response.headers["x-should-retry"] == "true"


async def test_a_fallback_is_invisible_but_for_the_tier(api: Api) -> None:
    host = api.host
    host.scripted = [
        host.tier("edge:a", "edge", fails_at=2, error=TierLostError("gone")),
        host.tier("cloud:w", "cloud"),
    ]
    response = await api.ask(stream=True)
    assert text_of(response.text) == "".join(WORDS)
    models = [json.loads(item)["model"] for item in data_of(response.text)[:-1]]
    assert models[0] == "model-edge"
    assert models[-1] == "model-cloud"


async def test_models(api: Api) -> None:
    assert [model["id"] for model in (await api.read("/v1/models")).json()["data"]] == ["edgewise"]
    assert (await api.client.get("/v1/models")).status_code == 401


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hang_up_before_the_stream_is_known_cancels_the_answer(api: Api, stream: bool) -> None:
    """Nobody was told the stream's id, so nobody could read on."""
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=0)]
    sid = await api.hang_up({}, stream=stream)
    assert (await api.service.log.head(sid)).status == "cancelled"
