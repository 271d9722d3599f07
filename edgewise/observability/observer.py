"""Observer: the one object that answering tells things to. It makes trails, and turns finished ones into metrics at
once and into spans in the background. With no exporter it still makes ids and counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

from edgewise.observability import context as trace
from edgewise.observability.context import TraceContext
from edgewise.observability.diagnostics import Diagnostics
from edgewise.observability.metrics import Gauge, Meter
from edgewise.observability.names import OPERATION, PINNED, POINTS, PROVIDER, Convention
from edgewise.observability.process import open_files, resident_bytes
from edgewise.observability.spans import GOOD, UNENDED, Served, SpanRecord, answer_spans, served_spans
from edgewise.observability.trail import Clock, Trail

Build = Callable[[], list[SpanRecord]]
_RATIO_BITS = 64
_arrived: ContextVar[Trail | None] = ContextVar("edgewise_arrived", default=None)


class SpanSink(Protocol):
    """Takes the making of spans off the caller's hands."""

    def put(self, build: Build) -> bool:
        """Keep `build` for the background; False when there is no room. Must not wait."""
        ...


class Observer:
    """`sample_ratio` of the traces that begin here are recorded; a client's own decision stands over it. Answers that
    end in an error or take longer than `slow_s` are recorded whatever was drawn (their nodes' spans are not: the nodes
    could not know). `scrape_token` is what a scraper of another machine must show. `now` is Unix time.
    """

    def __init__(
        self,
        *,
        convention: Convention = PINNED,
        sample_ratio: float = 0.0,
        slow_s: float = 30.0,
        sink: SpanSink | None = None,
        diagnostics: Diagnostics | None = None,
        scrape_token: str = "",
        clock: Clock = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.convention = convention
        self.scrape_token = scrape_token
        self.meter = meter = Meter(convention.metrics.values())
        self.diagnostics = diagnostics or Diagnostics(None)
        self.sink = sink
        self._limit = int(sample_ratio * 2**_RATIO_BITS)
        self._slow_s = slow_s
        self._clock = clock
        self._now = now
        self._duration = meter.histogram("gen_ai.server.request.duration")
        self._first_token = meter.histogram("gen_ai.server.time_to_first_token")
        self._per_token = meter.histogram("gen_ai.server.time_per_output_token")
        self._tokens = tuple(meter.histogram(name) for name in convention.token_metrics)
        self._answers = meter.counter("edgewise.answers")
        self._refused = meter.counter("edgewise.requests.refused")
        self._migrations = meter.counter("edgewise.migrations")
        self._takeovers = meter.counter("edgewise.takeovers")
        self._interrupted = meter.counter("edgewise.streams.interrupted")
        self._waste = meter.counter("edgewise.race.waste")
        self._points = meter.histogram("edgewise.latency.duration")
        self._kv_size = meter.histogram("edgewise.kv.size")
        self._bound_points: dict[str, list[Callable[[float], None]]] = {}
        self._decide = meter.histogram("edgewise.policy.decision.duration")
        self._log_errors = meter.counter("edgewise.log.errors")
        self._attempts = meter.counter("edgewise.attempts")
        self._dropped = meter.counter("edgewise.spans.dropped")
        self._on_append = meter.histogram("edgewise.log.append.duration").record
        self._watch_process()

    def gauge(self, name: str) -> Gauge:
        """A gauge of the table, for whoever knows its value. Raises KeyError."""
        return self.meter.gauge(name)

    # An answer --------------------------------------------------------------------------------------------------------

    def arrive(self, traceparent: str = "") -> Trail:
        """A request arrived with this header (or none). Its context is that of the task from here on."""
        parent = trace.parse_traceparent(traceparent) if traceparent else None
        if parent is None:
            trace_id = trace.new_trace_id()
            context = TraceContext(trace_id, trace.new_span_id(), self._drawn(trace_id))
        else:
            context = parent.child()
        trace.enter(context)
        trail = Trail(context, parent.span_id if parent else "", self._clock, self._on_append)
        _arrived.set(trail)
        return trail

    def arrived(self) -> Trail:
        """The trail of the request that arrived in this task; a fresh one for one more answer of the same task."""
        trail = _arrived.get()
        return self.arrive() if trail is None or trail.sid else trail

    def begin(self, trail: Trail, *, sid: str, key_id: str, mode: str, rule: str, model: str, policy: str) -> None:
        """The request became a stream."""
        trail.sid, trail.key_id, trail.model, trail.policy = sid, key_id, model, policy
        trail.mode, trail.rule = mode, rule
        if trail.decided_at:
            self._decide.record(trail.decide_s)
        self.diagnostics.attach(trail)

    def resume(self, traceparent: str, created_s: float) -> Trail:
        """An answer that another process began at `created_s` (Unix time) goes on here, in the same trace. The task
        that says so is no part of it: its context stays what it is."""
        root = trace.parse_traceparent(traceparent) or TraceContext(trace.new_trace_id(), trace.new_span_id())
        trail = Trail(root.child(), "", self._clock, self._on_append)
        trail.root = root
        trail.began_at = trail.arrived_at - max(0.0, self._now() - created_s)
        self._takeovers.add(1)
        return trail

    def refused(self, code: str) -> None:
        """A request got no stream; `code` is of the table of errors."""
        self._refused.add(1, code)

    def ended(
        self,
        trail: Trail,
        *,
        finish: str,
        error_code: str = "",
        tokens_in: int = 0,
        tokens_out: int = 0,
        first_token_s: float = 0.0,
        waste_tokens: int = 0,
        tiers: int = 0,
    ) -> dict[str, float]:
        """Work on the answer is over here; `tiers` is how many spoke in turn. Returns seconds at the five points."""
        trail.ended_at = self._clock()
        trail.finish = finish if finish in UNENDED else error_code or finish
        self.diagnostics.detach(trail, finish)
        points = trail.points()
        if finish in UNENDED:
            if error_code:
                self._log_errors.add(1, "append")
        else:
            self._count(trail, finish, error_code, points, waste_tokens, tiers)
            self._count_tokens(trail, error_code, tokens_in, tokens_out, first_token_s)
        if self.sink is not None and (trail.context.sampled or error_code or trail.total_s > self._slow_s):
            self._put(lambda: answer_spans(trail, tokens_in=tokens_in, waste_tokens=waste_tokens))
        return points

    def _count(
        self, trail: Trail, finish: str, error_code: str, points: dict[str, float], waste_tokens: int, tiers: int
    ) -> None:
        legs = trail.legs
        kind = legs[-1].kind if legs else ""
        self._answers.add(1, trail.mode, trail.rule, kind, finish)
        self._duration.record(trail.total_s, OPERATION, PROVIDER, trail.model, error_code)
        for record, seconds in zip(self._points_of(kind), points.values(), strict=True):
            record(seconds)
        for leg in legs:
            if leg.timings is not None and leg.timings.kv_bytes:
                self._kv_size.record(leg.timings.kv_bytes, leg.kind)
        if waste_tokens:
            self._waste.add(waste_tokens)
        if tiers > 1:
            self._migrations.add(tiers - 1, "ongoing")
        if len(legs) > 1 and (failed := sum(not leg.first_at and leg.outcome not in GOOD for leg in legs[:-1])):
            self._migrations.add(failed, "new")
        if error_code and any(leg.first_at for leg in legs):
            self._interrupted.add(1)

    def _points_of(self, kind: str) -> list[Callable[[float], None]]:
        """Where the five points of a tier kind are recorded, in their order."""
        bound = self._bound_points.get(kind)
        if bound is None:
            bound = self._bound_points[kind] = [self._points.bind(point, kind) for point in POINTS]
        return bound

    def _count_tokens(
        self, trail: Trail, error_code: str, tokens_in: int, tokens_out: int, first_token_s: float
    ) -> None:
        labels = OPERATION, PROVIDER, trail.model
        if first_token_s:
            first_token_s += trail.read_at - trail.arrived_at
            self._first_token.record(first_token_s, *labels)
            if tokens_out > 1 and not error_code:
                self._per_token.record((trail.total_s - first_token_s) / (tokens_out - 1), *labels)
        for histogram, direction, tokens in zip(
            self._tokens, ("input", "output"), (tokens_in, tokens_out), strict=True
        ):
            if tokens:
                typed = (*labels, direction) if len(histogram.name.attributes) > len(labels) else labels
                histogram.record(tokens, *typed)

    # An attempt, on a node --------------------------------------------------------------------------------------------

    def served(self, served: Served) -> None:
        """This node is through with an attempt of its gateway."""
        self._attempts.add(1, served.outcome)
        if self.sink is not None and served.context.sampled:
            self._put(lambda: served_spans(served))

    def _put(self, build: Build) -> None:
        if self.sink is not None and not self.sink.put(build):
            self._dropped.add(1)

    def _drawn(self, trace_id: str) -> bool:
        """The same draw as OpenTelemetry's TraceIdRatioBased: by the last 64 bits of the trace id."""
        return self.sink is not None and int(trace_id[16:], 16) < self._limit

    def _watch_process(self) -> None:
        self.gauge("process.memory.usage").watch(lambda: {(): resident_bytes()})
        self.gauge("process.unix.file_descriptor.count").watch(lambda: {(): open_files()})
        self.gauge("edgewise.streams.interruption_ratio").watch(lambda: {(): self._interruption_ratio()})
        self.diagnostics.on_drop = lambda: self.meter.counter("edgewise.diagnostics.dropped").add(1)

    def _interruption_ratio(self) -> float:
        ended = sum(self._answers.series.values())
        return sum(self._interrupted.series.values()) / ended if ended else 0.0
