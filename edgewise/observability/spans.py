"""From a finished trail to spans: a pure function, run after the answer and never on the token path. The spans are
plain records with names of the table; otlp.py turns them into the SDK's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edgewise.observability.context import TraceContext, new_span_id
from edgewise.observability.names import OPERATION, PROVIDER, SPANS, SpanKind
from edgewise.observability.trail import Leg, Trail
from edgewise.wire.frames import AttemptTimings

Value = str | int | float | bool | list[str]
GOOD = frozenset({"stop", "length", "tool_calls", "content_filter", "cancelled"})
"""Outcomes that are no error; every other one is an error's code."""
UNENDED = frozenset({"fenced", "interrupted"})
"""Work here was over, but the answer went on elsewhere."""


@dataclass(frozen=True)
class SpanRecord:
    """One finished span. Times are seconds of the monotonic clock."""

    name: str
    kind: SpanKind
    context: TraceContext
    parent_id: str
    start_s: float
    end_s: float
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Served:
    """One attempt as its node saw it; `context` is the gateway's span of the attempt, the parent here."""

    context: TraceContext
    attempt: str
    model: str
    started_at: float
    ended_at: float
    outcome: str
    tokens: int = 0
    timings: AttemptTimings | None = None


def answer_spans(trail: Trail, *, tokens_in: int = 0, waste_tokens: int = 0) -> list[SpanRecord]:
    """The spans of one answer: the root first, which whoever ends the answer tells, then what happened here."""
    root = trail.root or trail.context
    spans = [] if trail.finish in UNENDED else [_root_span(trail, root, waste_tokens)]
    if trail.taken_over:
        taken = {"edgewise.stream.id": trail.sid}
        spans.append(_span("takeover", trail.context, root.span_id, trail.arrived_at, trail.ended_at, taken))
    return [*spans, *_steps(trail), *(_leg_span(trail, leg, tokens_in) for leg in trail.legs), *_append_span(trail)]


def _root_span(trail: Trail, root: TraceContext, waste_tokens: int) -> SpanRecord:
    error = "" if trail.finish in GOOD else trail.finish
    points = {f"edgewise.latency.{name}_s": seconds for name, seconds in trail.points().items()}
    attributes: dict[str, Value] = {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "edgewise.stream.id": trail.sid,
        "edgewise.mode": trail.mode,
        "edgewise.rule": trail.rule,
        "edgewise.policy": trail.policy,
        "edgewise.finish": trail.finish,
        "edgewise.tier": trail.legs[-1].tier if trail.legs else "",
        "edgewise.waste_tokens": waste_tokens,
        "gen_ai.request.model": trail.model,
        **points,
    }
    return _span("request", root, trail.parent_id, trail.began_at, trail.ended_at, attributes, error)


def served_spans(served: Served) -> list[SpanRecord]:
    """The spans of one attempt on its node: the whole, and in it queue, prefill and decode as far as they are known."""
    whole = served.context.child()
    error = "" if served.outcome in GOOD else served.outcome
    attributes: dict[str, Value] = {
        **_gen_ai(served.model),
        "edgewise.attempt": served.attempt,
        "edgewise.finish": served.outcome,
    }
    spans = [_span("generate", whole, served.context.span_id, served.started_at, served.ended_at, attributes, error)]
    if (timings := served.timings) is not None:
        queued = served.started_at + timings.queue_s
        filled = queued + timings.prefill_s
        done: dict[str, Value] = {"gen_ai.usage.output_tokens": served.tokens}
        attributes["edgewise.kv.bytes"] = timings.kv_bytes
        spans += [
            _child("queue", whole, served.started_at, queued),
            _child("prefill", whole, queued, filled),
            _child("decode", whole, filled, filled + timings.decode_s, done),
        ]
    return spans


def _steps(trail: Trail) -> Iterator[SpanRecord]:
    """What came before the first attempt; a taken-over answer has none of it here."""
    if trail.encoded_at:
        yield _child("tokenize", trail.context, trail.encoded_at - trail.encode_s, trail.encoded_at)
    if trail.decided_at:
        why: dict[str, Value] = {"edgewise.mode": trail.mode, "edgewise.rule": trail.rule}
        yield _child("decide", trail.context, trail.decided_at - trail.decide_s, trail.decided_at, why)
    if trail.opened_at:
        yield _child("open", trail.context, trail.decided_at or trail.read_at, trail.opened_at)


def _leg_span(trail: Trail, leg: Leg, tokens_in: int) -> SpanRecord:
    good = leg.outcome in GOOD
    attributes: dict[str, Value] = {
        **_gen_ai(trail.model),
        "server.address": leg.tier,
        "edgewise.attempt": leg.attempt,
        "edgewise.attempt.outcome": leg.outcome,
        "edgewise.tier.kind": leg.kind,
        "gen_ai.usage.output_tokens": leg.tokens,
    }
    if leg.first_at:
        attributes["gen_ai.response.time_to_first_chunk"] = leg.first_at - leg.started_at
        attributes["gen_ai.usage.input_tokens"] = tokens_in
    if good and leg.outcome != "cancelled":
        attributes["gen_ai.response.finish_reasons"] = [leg.outcome]
    ended_at = leg.ended_at or trail.ended_at
    error = "" if good else leg.outcome
    return _span("attempt", leg.context, trail.context.span_id, leg.started_at, ended_at, attributes, error)


def _append_span(trail: Trail) -> Iterator[SpanRecord]:
    if trail.appends:
        told: dict[str, Value] = {"edgewise.append.count": trail.appends, "edgewise.append.busy_s": trail.append_s}
        yield _child("append", trail.context, trail.appended_from, trail.appended_to, told)


def _gen_ai(model: str) -> dict[str, Value]:
    return {"gen_ai.operation.name": OPERATION, "gen_ai.provider.name": PROVIDER, "gen_ai.request.model": model}


def _child(
    key: str, parent: TraceContext, start_s: float, end_s: float, attributes: Mapping[str, Value] | None = None
) -> SpanRecord:
    context = TraceContext(parent.trace_id, new_span_id(), parent.sampled)
    return _span(key, context, parent.span_id, start_s, end_s, attributes or {})


def _span(
    key: str,
    context: TraceContext,
    parent_id: str,
    start_s: float,
    end_s: float,
    attributes: Mapping[str, Value],
    error: str = "",
) -> SpanRecord:
    spec = SPANS[key]
    known = {**attributes, "error.type": error} if error else attributes
    name = spec.name
    if "{" in name:
        name = name.replace("{gen_ai.request.model}", str(attributes["gen_ai.request.model"]))
    return SpanRecord(name, spec.kind, context, parent_id, start_s, max(start_s, end_s), known, error)
