"""What JobsApi sends, and what it makes of answers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from cloud_worker.forge.jobs.api import AwayError, FencedError, JobsApi, RefusedError, http_address
from cloud_worker.forge.jobs.claim import Outcome, Told, failed
from tests.cloud_worker.forge.jobs.fakes import JOB_ID, claim_of

CLAIM = {
    "id": JOB_ID,
    "kind": "forge.test",
    "payload": {},
    "epoch": 1,
    "attempt": 1,
    "max_attempts": 5,
    "lease_s": 0.3,
    "time_limit_s": 60.0,
    "lease_until": "2026-05-04T12:00:00Z",
}


class Answers:
    """A server that answers all calls alike, or drops them."""

    def __init__(self, status: int = 200, body: Any = None) -> None:
        self.status, self.body = status, body
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def api(self) -> JobsApi:
        transport = httpx.MockTransport(self._answer)
        return JobsApi("ws://control:8080/", "ek_node", holder="f", offers=["forge"], transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer ek_node"
        self.asked.append((request.url.path, json.loads(request.content)))
        if self.status == 0:
            raise httpx.ConnectError("refused")
        return httpx.Response(self.status, json=self.body) if self.status != 204 else httpx.Response(204)


async def test_a_claim_says_what_this_process_can_do() -> None:
    answers = Answers(200, CLAIM)
    assert await answers.api().claim(["forge.test"]) == claim_of()
    assert answers.asked == [("/internal/v1/jobs/claim", {"kinds": ["forge.test"], "holder": "f", "offers": ["forge"]})]
    assert await Answers(204).api().claim(["forge.test"]) is None


async def test_every_other_call_carries_the_epoch() -> None:
    answers = Answers(200, {})
    api = answers.api()
    await api.heartbeat(claim_of(7), Told(0.5, "half"))
    await api.report(claim_of(7), Outcome(result={"n": 1}))
    await api.report(claim_of(7), failed("no", retry=False))
    await api.give_back(claim_of(7))
    base = f"/internal/v1/jobs/{JOB_ID}"
    assert answers.asked == [
        (f"{base}/heartbeat", {"epoch": 7, "progress": 0.5, "message": "half"}),
        (f"{base}/complete", {"epoch": 7, "result": {"n": 1}}),
        (f"{base}/fail", {"epoch": 7, "error": "no", "retry": False}),
        (f"{base}/give-back", {"epoch": 7}),
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, AwayError),
        (401, AwayError),
        (403, AwayError),
        (500, AwayError),
        (503, AwayError),
        (404, FencedError),
        (409, FencedError),
        (400, RefusedError),
        (413, RefusedError),
        (422, RefusedError),
    ],
)
async def test_answers_are_sorted(status: int, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        await Answers(status, {"error": {"message": "why"}}).api().report(claim_of(), Outcome(result={}))


@pytest.mark.parametrize("status", [0, 400, 401, 404, 500])
async def test_a_question_that_is_refused_is_asked_again(status: int) -> None:
    with pytest.raises(AwayError):
        await Answers(status, ["not ours"]).api().claim(["forge.test"])


@pytest.mark.parametrize("body", [{}, [], {"id": 3}, {**CLAIM, "epoch": "x"}])
async def test_an_answer_of_another_server_is_no_claim(body: Any) -> None:
    with pytest.raises(AwayError, match="no Edgewise control plane"):
        await Answers(200, body).api().claim(["forge.test"])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://h:1/", "http://h:1"),
        ("wss://h", "https://h"),
        ("http://h:8080", "http://h:8080"),
        ("https://h/x/", "https://h/x"),
    ],
)
def test_a_node_address_is_made_one_for_http(url: str, expected: str) -> None:
    assert http_address(url) == expected
