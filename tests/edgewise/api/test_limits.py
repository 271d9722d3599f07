"""What a request reserves before its stream opens, what a refusal leaves behind, and the headers of both."""

from __future__ import annotations

import pytest

from edgewise.api.host import Caller
from edgewise.dialects.openai_errors import error_headers, rate_headers
from edgewise.wire.errors import BudgetExceededError, ConflictError, RateLimitedError, RateState
from tests.edgewise.api.conftest import Api

STATE = RateState(
    limit_requests=60,
    remaining_requests=0,
    reset_requests_s=61.0,
    limit_tokens=1000,
    remaining_tokens=7,
    reset_tokens_s=0.12,
)


async def test_the_worst_case_is_reserved_under_the_streams_id(api: Api) -> None:
    answer = await api.ask(max_tokens=9)
    ((sid, prompt_tokens, most),) = api.host.reserved
    assert (sid, most) == (answer.headers["x-edgewise-stream-id"], 9)
    assert prompt_tokens == answer.json()["usage"]["prompt_tokens"]


async def test_a_refused_request_leaves_no_stream_and_no_decision(api: Api) -> None:
    api.host.refusal = RateLimitedError("The limit is reached", retry_after_s=0.3, rate=STATE)
    answer = await api.ask()
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["retry-after-ms"] == "300"
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert answer.headers["x-ratelimit-reset-requests"] == "1m1s"
    assert answer.headers["x-ratelimit-reset-tokens"] == "120ms"
    assert (api.host.admissions, api.host.reserved, api.host.released) == ([], [], [])


async def test_a_spent_budget_is_not_tried_again(api: Api) -> None:
    api.host.refusal = BudgetExceededError("The budget is spent")
    answer = await api.ask()
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers


async def test_a_stream_that_cannot_open_gives_its_reservation_back(api: Api) -> None:
    sid = (await api.ask()).headers["x-edgewise-stream-id"]
    with pytest.raises(ConflictError):
        await api.service.begin(Caller("alice", "t", "free"), api.request(), sid=sid)
    assert api.host.released == [sid]


@pytest.mark.parametrize("stream", [True, False])
async def test_answers_say_how_the_minute_stands_where_it_is_limited(api: Api, stream: bool) -> None:
    assert "x-ratelimit-limit-tokens" not in (await api.ask(stream=stream)).headers
    api.host.rate_state = STATE
    answer = await api.ask(stream=stream)
    assert (answer.status_code, answer.headers["x-ratelimit-remaining-tokens"]) == (200, "7")


def test_only_limits_that_exist_have_headers() -> None:
    assert rate_headers(RateState(limit_tokens=5, remaining_tokens=5)) == [
        (b"x-ratelimit-limit-tokens", b"5"),
        (b"x-ratelimit-remaining-tokens", b"5"),
        (b"x-ratelimit-reset-tokens", b"0ms"),
    ]
    waits = dict(error_headers(RateLimitedError("wait", retry_after_s=1.2).info()))
    assert waits[b"retry-after"] == b"2", "never too early"
