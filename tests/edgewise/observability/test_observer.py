"""Observer: what is recorded, what is counted, and what an answer without an exporter still has."""

from __future__ import annotations

import pytest

from edgewise.observability import context as trace
from edgewise.observability.observer import Observer
from tests.edgewise.observability.records import Sink, begun, everything, observer, spoken

PARENT = "00-{}-00f067aa0ba902b7-0{}"


def kept(seen: Observer, sink: Sink, traceparent: str = "", **how: str) -> bool:
    sink.spans.clear()
    trail = begun(seen, traceparent)
    seen.ended(trail, finish=how.get("finish", "stop"), error_code=how.get("error_code", ""))
    return bool(sink.spans)


def test_the_client_decides_whether_its_trace_is_recorded() -> None:
    for ratio in (0.0, 1.0):
        seen, sink = observer(ratio=ratio)
        assert kept(seen, sink, PARENT.format("a" * 32, 1))
        assert not kept(seen, sink, PARENT.format("a" * 32, 0))
        assert kept(seen, sink) is bool(ratio)


def test_the_share_of_recorded_traces_is_the_ratio() -> None:
    seen, _ = observer(ratio=0.25)
    share = sum(seen.arrive().context.sampled for _ in range(4000)) / 4000
    assert 0.2 < share < 0.3


def test_errors_and_slow_answers_are_recorded_whatever_was_drawn() -> None:
    seen, sink = observer(ratio=0.0)
    assert kept(seen, sink, finish="error", error_code="tier_lost")
    seen._slow_s = 2.0
    assert kept(seen, sink)


def test_without_an_exporter_there_are_ids_but_no_spans() -> None:
    seen = Observer(sample_ratio=1.0)
    trail = begun(seen)
    assert len(trail.context.trace_id) == 32
    assert not trail.context.sampled
    assert trace.current() == trail.context
    assert seen.ended(trail, finish="stop")["model"] >= 0


def test_a_full_sink_is_counted() -> None:
    seen, sink = observer()
    sink.room = 0
    seen.ended(begun(seen), finish="stop")
    assert seen.meter.counter("edgewise.spans.dropped").series == {(): 1}


def test_a_task_that_asks_twice_has_two_trails() -> None:
    seen, _ = observer()
    arrived = seen.arrive()
    assert seen.arrived() is arrived
    seen.begin(arrived, sid="s", key_id="k", mode="edge", rule="r", model="m", policy="p")
    assert seen.arrived() is not arrived


def test_what_is_counted() -> None:
    seen, _ = observer()
    everything(seen)
    meter = seen.meter
    assert meter.counter("edgewise.answers").series == {
        ("race", "default", "cloud", "stop"): 1,
        ("race", "default", "edge", "error"): 1,
        ("race", "default", "", "cancelled"): 1,
        ("race", "default", "edge", "length"): 1,
    }
    assert meter.counter("edgewise.migrations").series == {("ongoing",): 1, ("new",): 1}
    assert meter.counter("edgewise.streams.interrupted").series == {(): 1}
    assert meter.gauge("edgewise.streams.interruption_ratio").series == {(): 0.25}
    assert meter.counter("edgewise.race.waste").series == {(): 2}
    assert meter.counter("edgewise.takeovers").series == {(): 1}
    assert meter.counter("edgewise.log.errors").series == {("append",): 1}
    assert meter.counter("edgewise.requests.refused").series == {("rate_limited",): 1}
    assert meter.counter("edgewise.attempts").series == {("stop",): 1, ("tier_lost",): 1}
    tokens = meter.histogram("gen_ai.client.token.usage").series
    assert {labels[-1]: series[-1] for labels, series in tokens.items()} == {"input": 15, "output": 16}


def test_time_per_token_is_of_whole_answers_only() -> None:
    seen, _ = observer()
    trail = begun(seen)
    spoken(trail)
    seen.ended(trail, finish="error", error_code="tier_lost", tokens_out=10, first_token_s=1.0)
    assert seen.meter.histogram("gen_ai.server.time_per_output_token").series == {}
    trail = begun(seen)
    seen.ended(trail, finish="stop", tokens_out=11, first_token_s=trail.clock() - trail.read_at)
    ((series),) = seen.meter.histogram("gen_ai.server.time_per_output_token").series.values()
    assert series[-1] == pytest.approx(0.1)


def test_a_process_knows_its_memory_and_files() -> None:
    meter = Observer().meter
    assert meter.gauge("process.memory.usage").series[()] > 1e6
    assert meter.gauge("process.unix.file_descriptor.count").series[()] > 2
