"""The gateway benchmark's own rules: a wrong answer is found, whole means whole, and the rows say what was measured."""

from __future__ import annotations

import json

import httpx
import pytest

from benchmarks import mock_upstream
from benchmarks.gateway import PEER, Effort, Turns, rows
from benchmarks.gateway_load import Load, Target, fault_of, is_whole
from benchmarks.gateway_peers import Cores
from benchmarks.mock_upstream import STREAM_TOKENS, WHOLE_TOKENS, WORD

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\n"


def sized(body: bytes, head: bytes = HEAD) -> bytes:
    return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(body: bytes, size: int = 100) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    framed = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)
    return HEAD + b"transfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def stream(words: int = STREAM_TOKENS, finish: str = "stop", end: str = "data: [DONE]\n\n") -> bytes:
    deltas = [{"delta": {"content": WORD}}] * words + [{"delta": {}, "finish_reason": finish}]
    return ("".join(f"data: {json.dumps({'choices': [delta]})}\n\n" for delta in deltas) + end).encode()


def whole(words: int = WHOLE_TOKENS, finish: str = "stop") -> bytes:
    return json.dumps({"choices": [{"message": {"content": WORD * words}, "finish_reason": finish}]}).encode()


async def test_the_mock_upstream_says_what_the_check_expects() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(mock_upstream.app), base_url="http://up") as client:
        for streams in (True, False):
            response = await client.post("/v1/chat/completions", json={"model": "mock", "stream": streams})
            assert fault_of(sized(response.content), stream=streams) == ""


@pytest.mark.parametrize(
    ("answer", "streams", "says"),
    [
        (chunked(stream()), True, ""),
        (sized(whole()), False, ""),
        (sized(whole(), b"HTTP/1.1 500 Oops\r\n"), False, "500"),
        (chunked(stream(STREAM_TOKENS - 1)), True, "63 of 64 tokens"),
        (chunked(stream(finish="length")), True, "finish reason"),
        (chunked(stream(end="")), True, "[DONE]"),
        (chunked(b"data: {\n\ndata: [DONE]\n\n"), True, "not a chat chunk"),
        (sized(whole(1)), False, "1 of 16 tokens"),
        (sized(b"<html>"), False, "not a chat completion"),
    ],
)
def test_a_wrong_answer_is_found(answer: bytes, streams: bool, says: str) -> None:
    assert is_whole(answer)
    fault = fault_of(answer, stream=streams)
    assert says in fault and bool(says) == bool(fault)


@pytest.mark.parametrize("answer", [chunked(stream()), sized(whole())])
def test_nothing_less_than_all_of_an_answer_is_whole(answer: bytes) -> None:
    assert not any(is_whole(answer[:end]) for end in range(len(answer)))


def test_a_request_is_one_message_with_its_length() -> None:
    head, _, body = Target("http://h:1/v1", "m", "k").request(stream=True).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n") and b"Bearer k" in head
    assert f"content-length: {len(body)}".encode() in head and json.loads(body)["stream"] is True


def turns(per_s: float, first_ms: float, rss_mb: float) -> Turns:
    made = Turns(rss_before_mb=rss_mb, rss_after_mb=rss_mb + 1)
    for kind in (False, True):
        made.many[kind] = Load(answers=int(per_s * 10), elapsed_s=10.0)
        made.cpu_s[kind] = 10.0
    made.single = Load(answers=1, elapsed_s=1.0, first_s=[first_ms / 1000])
    return made


def test_the_rows_hold_ratio_limit_and_floor() -> None:
    seen = {"upstream": turns(9000, 1, 1), "edgewise": turns(3000, 3, 150), PEER: turns(150, 11, 400)}
    made = rows(seen, Cores(frozenset([1]), frozenset([0])), Effort(1, 1, 7), "")
    by_metric = {row.metric: row for row in made}
    requests = by_metric["requests/s"]
    assert (requests.ours, requests.peer_value, requests.ratio, requests.limit) == (3000, 150, 20, 9000)
    assert requests.holds
    assert by_metric["processor time per request"].ours == pytest.approx(10 / 30000 * 1e6)
    assert by_metric["first token added p50"].ratio == pytest.approx(0.2)
    assert by_metric["resident memory"].ours == 151


def test_a_wrong_answer_or_a_missing_peer_fails_the_rows() -> None:
    seen = {"upstream": turns(9000, 1, 1), "edgewise": turns(3000, 3, 150)}
    cores, effort = Cores(frozenset(), frozenset()), Effort(1, 1, 7)
    missing = rows(seen, cores, effort, "no network")
    assert all(row.peer_value is None and row.holds is False and row.reason == "no network" for row in missing)
    seen[PEER] = turns(1, 100, 400)
    seen["edgewise"].many[True].wrong, seen["edgewise"].many[True].fault = 2, "63 of 64 tokens arrived"
    assert all(row.holds is False and "63 of 64" in row.reason for row in rows(seen, cores, effort, ""))
