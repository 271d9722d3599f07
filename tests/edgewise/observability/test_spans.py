"""From a trail to spans and latency points: who stands under whom, and where the seconds go."""

from __future__ import annotations

import pytest

from edgewise.observability.context import TraceContext
from edgewise.observability.spans import Served, SpanRecord, answer_spans, served_spans
from edgewise.observability.trail import unobserved
from tests.edgewise.observability.records import TIMINGS, begun, everything, observer, spoken

CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def one(spans: list[SpanRecord], name: str) -> SpanRecord:
    (found,) = (record for record in spans if record.name == name)
    return found


def test_an_answer_is_one_tree_under_the_clients_span() -> None:
    seen, sink = observer(ratio=0.0)
    trail = begun(seen, CLIENT)
    spoken(trail)
    seen.ended(trail, finish="stop", tokens_in=5)
    root = one(sink.spans, "POST /v1/chat/completions")
    assert root.parent_id == "00f067aa0ba902b7"
    assert {record.context.trace_id for record in sink.spans} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert {record.parent_id for record in sink.spans[1:]} == {root.context.span_id}
    attempt = one(sink.spans, "chat edgewise")
    assert attempt.context == trail.legs[0].context
    assert attempt.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert attempt.attributes["gen_ai.usage.input_tokens"] == 5


def test_a_nodes_spans_stand_under_the_attempt() -> None:
    context = TraceContext("a" * 32, "b" * 16, True)
    whole, queue, prefill, decode = served_spans(Served(context, "a", "m", 10.0, 20.0, "stop", 3, TIMINGS))
    assert whole.parent_id == "b" * 16
    assert [(each.start_s, each.end_s) for each in (queue, prefill, decode)] == [(10, 11), (11, 13), (13, 17)]
    assert {each.parent_id for each in (queue, prefill, decode)} == {whole.context.span_id}
    (failed,) = served_spans(Served(context, "a", "m", 10.0, 20.0, "tier_lost"))
    assert (failed.error, failed.attributes["error.type"]) == ("tier_lost", "tier_lost")


def test_a_take_over_goes_on_in_the_same_trace_and_tells_the_root() -> None:
    seen, sink = observer(now=lambda: 100.0)
    trail = begun(seen)
    seen.ended(trail, finish="interrupted", error_code="shutting_down")
    assert "POST /v1/chat/completions" not in {record.name for record in sink.spans}
    taken = seen.resume(trail.context.traceparent, 90.0)
    spoken(taken)
    arrived_at = taken.arrived_at
    seen.ended(taken, finish="stop")
    root, takeover = one(sink.spans, "POST /v1/chat/completions"), one(sink.spans, "edgewise.takeover")
    assert root.context.span_id == trail.context.span_id
    assert root.start_s == pytest.approx(arrived_at - 10.0)
    assert takeover.parent_id == root.context.span_id
    assert one(sink.spans, "chat ").parent_id == takeover.context.span_id


def test_the_five_points() -> None:
    trail = unobserved()
    trail.clock = iter(range(100)).__next__
    trail.arrived_at, trail.read_at, trail.encode_s = 0.0, 0.5, 0.25
    leg = trail.leg("a", "edge:a", "edge")
    leg.started_at, leg.first_at, leg.ended_at = 1.0, 4.75, 9.0
    leg.outcome, leg.timings = "stop", TIMINGS
    trail.append_s, trail.ended_at = 0.125, 9.5
    assert trail.points() == {
        "network": 0.5 + (4.75 - 1.0 - 1.0 - 2.0),
        "queue": (1.0 - 0.5 - 0.25) + 1.0,
        "tokenization": 0.25,
        "model": 2.0 + 4.0,
        "postprocessing": 0.5 + 0.125,
    }


def test_an_attempt_without_a_report_is_all_model() -> None:
    trail = unobserved()
    leg = trail.leg("a", "cloud:vllm", "cloud")
    leg.started_at, leg.ended_at, leg.outcome = trail.read_at, trail.read_at + 3.0, "stop"
    assert trail.points()["model"] == pytest.approx(3.0)


def test_a_request_that_never_reached_a_tier_has_points_too() -> None:
    trail = unobserved()
    trail.ended_at = trail.arrived_at + 1.0
    assert all(seconds >= 0 for seconds in trail.points().values())
    assert answer_spans(trail)


def test_no_span_holds_what_is_not_in_the_trail() -> None:
    seen, sink = observer()
    everything(seen)
    assert all(record.error == record.attributes.get("error.type", "") for record in sink.spans)
