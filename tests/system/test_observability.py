"""Seeing a whole stack: one trace from the client through the gateway to the node, metrics, latency, diagnostics, and
logs in which nothing of what was said stands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.stack import Stack, running_stack
from tests.factories.collector import Collector, Received, running_collector
from tests.system.reading import ENDLESS, ask, read_events

pytestmark = pytest.mark.system
CANARY = "quixotic-marmalade-42 与众不同的橘子酱"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CLIENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def stack(collector: Collector) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        patch.setenv("EDGEWISE_METRICS_EVERY_S", "0.3")
        patch.setenv("EDGEWISE_TRACE_RATIO", "0")
        patch.setenv("EDGEWISE_LOG_FORMAT", "json")
        with running_stack() as running:
            yield running


def asked(stack: Stack, mode: str, **fields: Any) -> tuple[httpx.Headers, list[dict[str, Any]]]:
    """A streamed answer under the client's trace: its headers and its chunks."""
    body = {"model": "edgewise", "messages": [{"role": "user", "content": CANARY}], "stream": True, "max_tokens": 12}
    headers = {"authorization": f"Bearer {stack.keys['app']}", "traceparent": CLIENT}
    url = f"{stack.base_url}/v1/chat/completions"
    wish = {"edgewise": {"mode": mode}} | ENDLESS | fields
    with httpx.stream("POST", url, json=body | wish, headers=headers, timeout=60) as response:
        return response.headers, read_events(response, lambda _: None).chunks


def named(spans: list[Received], name: str, sid: str = "") -> Received:
    return next(each for each in spans if each.name == name and each.attributes.get("edgewise.stream.id", sid) == sid)


@pytest.mark.parametrize(("mode", "node"), [("edge", "edgewise-agent"), ("cloud", "edgewise-worker")])
def test_one_answer_is_one_trace_from_the_client_to_the_node(
    stack: Stack, collector: Collector, mode: str, node: str
) -> None:
    before = len(collector.spans)
    headers, chunks = asked(stack, mode)
    sid = headers["x-edgewise-stream-id"]
    assert headers["x-trace-id"] == TRACE
    assert chunks[0]["edgewise"]["trace"] == chunks[-1]["edgewise"]["trace"] == TRACE

    def complete() -> bool:
        names = [each.name for each in collector.spans[before:]]
        return {"POST /v1/chat/completions", "edgewise.decode"} <= set(names)

    collector.wait_for(complete)
    spans = [each for each in collector.spans[before:] if each.trace_id == TRACE]
    root = named(spans, "POST /v1/chat/completions", sid)
    assert (root.service, root.parent_id, root.error) == ("edgewise-control", SPAN, False)
    for name in ("edgewise.tokenize", "edgewise.decide", "edgewise.open", "edgewise.append", "chat edgewise"):
        assert named(spans, name, "").parent_id == root.span_id
    attempt = named(spans, "chat edgewise")
    assert attempt.attributes["server.address"].startswith(mode)
    served = named(spans, "edgewise.generate")
    assert (served.service, served.parent_id) == (node, attempt.span_id)
    for name in ("edgewise.queue", "edgewise.prefill", "edgewise.decode"):
        step = named(spans, name)
        assert (step.service, step.parent_id) == (node, served.span_id)
        assert served.start_ns <= step.start_ns <= step.end_ns
    assert {each.schema_url for each in spans} == {"https://opentelemetry.io/schemas/1.41.0"}
    assert root.start_ns <= attempt.start_ns <= attempt.end_ns <= root.end_ns


def test_an_unsampled_answer_is_exported_by_nobody(stack: Stack, collector: Collector) -> None:
    reading = ask(stack, max_tokens=4, **ENDLESS)
    trace_id = reading.chunks[0]["edgewise"]["trace"]
    asked(stack, "edge")  # a later one, which is exported
    collector.wait_for(lambda: sum(each.name == "POST /v1/chat/completions" for each in collector.spans) >= 3)
    assert collector.trace(trace_id) == []


def test_errors_name_their_trace(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {stack.keys['app']}", "traceparent": CLIENT}
    body = {"model": "gpt-99", "messages": [{"role": "user", "content": "hi"}]}
    for path, given in (("/v1/chat/completions", headers), ("/v1/chat/completions", {})):
        answer = httpx.post(stack.base_url + path, json=body, headers=given)
        trace_id = answer.json()["error"]["trace"]
        assert answer.headers["x-trace-id"] == trace_id
        assert (trace_id == TRACE) is bool(given)
    for method, path in (("GET", "/nowhere"), ("GET", "/admin/v1/latency"), ("GET", "/v1/streams/none")):
        answer = httpx.request(method, stack.base_url + path, headers={"traceparent": CLIENT})
        assert answer.status_code >= 400
        assert answer.json()["error"]["trace"] == answer.headers["x-trace-id"] == TRACE


def test_metrics_are_prometheus_text_and_reach_the_collector(stack: Stack, collector: Collector) -> None:
    asked(stack, "cloud")
    text = httpx.get(f"{stack.base_url}/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    duration = families["gen_ai_server_request_duration_seconds"]
    assert duration.type == "histogram"
    answers = families["edgewise_answers"]
    assert sum(sample.value for sample in answers.samples) >= 1
    assert any(sample.labels["edgewise_mode"] == "cloud" for sample in answers.samples)
    nodes = {sample.labels["edgewise_tier_kind"]: sample.value for sample in families["edgewise_nodes"].samples}
    assert nodes == {"edge": 1.0, "cloud": 1.0}
    assert families["process_memory_usage_bytes"].samples[0].value > 1e7
    agent = httpx.get(f"{stack.edge_url}/metrics").text
    assert "edgewise_attempts" in {family.name for family in text_string_to_metric_families(agent)}
    collector.wait_for(lambda: {"gen_ai.server.request.duration", "edgewise.attempts"} <= set(collector.metrics))
    assert collector.metrics["gen_ai.server.request.duration"].unit == "s"


def test_metrics_are_closed_to_what_a_proxy_passes_on(stack: Stack) -> None:
    far = {"x-forwarded-for": "203.0.113.9"}
    assert httpx.get(f"{stack.base_url}/metrics", headers=far).status_code == 401
    app = far | {"authorization": f"Bearer {stack.keys['app']}"}
    assert httpx.get(f"{stack.base_url}/metrics", headers=app).status_code == 403
    operator = far | {"authorization": f"Bearer {stack.keys['operator']}"}
    assert httpx.get(f"{stack.base_url}/metrics", headers=operator).status_code == 200


def test_latency_is_taken_apart_at_five_points(stack: Stack) -> None:
    headers, _ = asked(stack, "cloud")
    operator = {"authorization": f"Bearer {stack.keys['operator']}"}
    summary = httpx.get(f"{stack.base_url}/admin/v1/latency", headers=operator).json()
    assert set(summary["points"]) == {"network", "queue", "tokenization", "model", "postprocessing"}
    assert summary["answers"] >= 1
    sid = headers["x-edgewise-stream-id"]
    record = httpx.get(f"{stack.base_url}/admin/v1/decisions/{sid}", headers=operator).json()
    points = record["timings_s"]
    assert all(seconds >= 0 for seconds in points.values())
    assert points["model"] > 0
    assert sum(points.values()) < 2 * record["total_s"]


def test_diagnostic_lines_are_switched_on_while_it_runs_and_hold_no_text(stack: Stack) -> None:
    operator = {"authorization": f"Bearer {stack.keys['operator']}"}
    url = f"{stack.base_url}/admin/v1/diagnostics"
    file = stack.data_dir / "diagnostics.jsonl"
    assert not file.exists()
    assert httpx.put(url, json={"share": 1.0}, headers=operator).json()["share"] == 1.0
    headers, chunks = asked(stack, "edge")
    assert httpx.put(url, json={}, headers=operator).json() == {"share": 0.0, "streams": [], "keys": []}
    sid = headers["x-edgewise-stream-id"]
    lines: list[dict[str, Any]] = []
    deadline = time.monotonic() + 10
    while not lines or lines[-1]["action"] != "length":
        assert time.monotonic() < deadline, lines[-3:]
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    names = {"stream_id", "token_id", "latency", "buffer_size", "network_rtt", "action", "total_tokens"}
    assert all(set(line) == names for line in lines)
    assert {line["stream_id"] for line in lines} == {sid}
    assert {"tier", "token", "append", "length"} <= {line["action"] for line in lines}
    assert lines[-1]["total_tokens"] == 12
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert said not in file.read_text()


def test_logs_are_json_and_nothing_that_was_said_leaves_in_logs_spans_or_metrics(
    stack: Stack, collector: Collector
) -> None:
    asked(stack, "cloud")
    asked(stack, "edge", max_tokens=100_000)
    bad = {"model": "edgewise", "messages": [{"role": CANARY, "content": CANARY}], "stream": "yes"}
    headers = {"authorization": f"Bearer {stack.keys['app']}"}
    assert httpx.post(f"{stack.base_url}/v1/chat/completions", json=bad, headers=headers).status_code == 400
    httpx.get(f"{stack.base_url}/v1/models", headers={"authorization": "Bearer ek_canary_not_a_key"})
    logs = {path.name: path.read_text() for path in (stack.data_dir / "logs").glob("*.log")}
    lines = [line for name, text in logs.items() if name != "token-log.log" for line in text.splitlines()]
    parsed = [json.loads(line) for line in lines if line.startswith("{")]
    assert parsed
    assert all({"time", "level", "logger", "message"} <= set(line) for line in parsed)
    secrets = [CANARY, "quixotic", "橘子酱", "ek_canary", *stack.keys.values()]
    everything = "\n".join(logs.values()) + "".join(body.decode("utf-8", "replace") for body in collector.bodies)
    assert [secret for secret in secrets if secret in everything and not secret.startswith("http")] == []
