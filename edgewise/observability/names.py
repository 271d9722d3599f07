"""The one table of every name that Edgewise emits: spans, metrics, units, buckets and attributes, at a pinned version.

Names without the prefix `edgewise.` are OpenTelemetry's. A test holds everything that is emitted against this table;
docs/howto/observe.md is the reader's copy. GenAI names change upstream, so two versions stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SCOPE = "edgewise"
PROVIDER = "edgewise"
OPERATION = "chat"
OPT_IN_VARIABLE = "OTEL_SEMCONV_STABILITY_OPT_IN"
OPT_IN = "gen_ai_latest_experimental"

MetricKind = Literal["counter", "gauge", "histogram"]
SpanKind = Literal["internal", "server", "client"]

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKENS = tuple(float(4**power) for power in range(14))
SHORT_SECONDS = (0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
BYTES = tuple(float(4**power) for power in range(5, 19))
MICROSECONDS = (0.0000005, 0.000001, 0.000002, 0.000005, 0.00001, 0.00002, 0.00005, 0.0001, 0.001, 0.01)
"""Upper bounds of histogram buckets. The first four are the conventions' advice, the others are ours."""

POINTS = ("network", "queue", "tokenization", "model", "postprocessing")
"""The five points at which an answer's latency is taken apart, in the order of `Trail.points`."""


@dataclass(frozen=True)
class MetricName:
    """One metric. `unit` is UCUM; `attributes` in the order in which values are recorded."""

    name: str
    kind: MetricKind
    unit: str
    about: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True)
class SpanName:
    """One span. `{…}` in the name stands for an attribute's value."""

    name: str
    kind: SpanKind
    about: str
    attributes: tuple[str, ...]


ATTRIBUTES: Mapping[str, type] = {
    "error.type": str,
    "gen_ai.operation.name": str,
    "gen_ai.provider.name": str,
    "gen_ai.request.model": str,
    "gen_ai.response.finish_reasons": list,
    "gen_ai.response.time_to_first_chunk": float,
    "gen_ai.token.type": str,
    "gen_ai.usage.cache_creation.input_tokens": int,
    "gen_ai.usage.cache_write.input_tokens": int,
    "gen_ai.usage.input_tokens": int,
    "gen_ai.usage.output_tokens": int,
    "http.request.method": str,
    "http.route": str,
    "server.address": str,
    "edgewise.append.busy_s": float,
    "edgewise.append.count": int,
    "edgewise.attempt": str,
    "edgewise.attempt.outcome": str,
    "edgewise.error.code": str,
    "edgewise.finish": str,
    "edgewise.job.state": str,
    "edgewise.kv.bytes": int,
    "edgewise.latency.model_s": float,
    "edgewise.latency.network_s": float,
    "edgewise.latency.point": str,
    "edgewise.latency.postprocessing_s": float,
    "edgewise.latency.queue_s": float,
    "edgewise.latency.tokenization_s": float,
    "edgewise.log.operation": str,
    "edgewise.migration.type": str,
    "edgewise.mode": str,
    "edgewise.policy": str,
    "edgewise.rule": str,
    "edgewise.stream.id": str,
    "edgewise.tier": str,
    "edgewise.tier.kind": str,
    "edgewise.waste_tokens": int,
}
"""Attribute → type of its values."""

_GEN_AI = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model")
_DONE = (*_GEN_AI, "error.type")
_USAGE = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")

SPANS: Mapping[str, SpanName] = {
    "request": SpanName(
        "POST /v1/chat/completions",
        "server",
        "One answer, from the arrival of the request to its end; the root of ours, a child of the client's span",
        (
            "http.request.method",
            "http.route",
            "edgewise.stream.id",
            "edgewise.mode",
            "edgewise.rule",
            "edgewise.policy",
            "edgewise.finish",
            "edgewise.tier",
            "edgewise.waste_tokens",
            *(f"edgewise.latency.{point}_s" for point in POINTS),
            "gen_ai.request.model",
            "error.type",
        ),
    ),
    "tokenize": SpanName("edgewise.tokenize", "internal", "Messages became token ids", ()),
    "decide": SpanName("edgewise.decide", "internal", "The policy decided", ("edgewise.mode", "edgewise.rule")),
    "open": SpanName("edgewise.open", "internal", "The stream was created and claimed in the log", ()),
    "attempt": SpanName(
        "chat {gen_ai.request.model}",
        "client",
        "One try of one tier, as the runner saw it",
        (
            *_GEN_AI,
            *_USAGE,
            "gen_ai.response.finish_reasons",
            "gen_ai.response.time_to_first_chunk",
            "server.address",
            "edgewise.attempt",
            "edgewise.attempt.outcome",
            "edgewise.tier.kind",
            "error.type",
        ),
    ),
    "append": SpanName(
        "edgewise.append",
        "internal",
        "The log was appended to: from the first append to the last, with the time that it was busy",
        ("edgewise.append.count", "edgewise.append.busy_s"),
    ),
    "takeover": SpanName(
        "edgewise.takeover", "internal", "Another process went on with the answer", ("edgewise.stream.id",)
    ),
    "generate": SpanName(
        "edgewise.generate",
        "server",
        "One attempt, as the node saw it",
        (*_GEN_AI, "edgewise.attempt", "edgewise.finish", "edgewise.kv.bytes", "error.type"),
    ),
    "queue": SpanName("edgewise.queue", "internal", "The attempt waited for a slot of the engine", ()),
    "prefill": SpanName("edgewise.prefill", "internal", "The engine read the prompt, up to the first token", ()),
    "decode": SpanName("edgewise.decode", "internal", "The engine spoke", ("gen_ai.usage.output_tokens",)),
    "job": SpanName("edgewise.job", "internal", "A job ran on behalf of a request", ("edgewise.job.state",)),
}

_COMMON = (
    MetricName(
        "gen_ai.server.request.duration", "histogram", "s", "From arrival to end, by outcome", _DONE, SECONDS
    ),
    MetricName(
        "gen_ai.server.time_to_first_token", "histogram", "s", "From arrival to the first token", _GEN_AI,
        FIRST_TOKEN_SECONDS,
    ),
    MetricName(
        "gen_ai.server.time_per_output_token", "histogram", "s", "Between tokens after the first, of whole answers",
        _GEN_AI, PER_TOKEN_SECONDS,
    ),
    MetricName(
        "edgewise.answers", "counter", "{answer}", "Answers that ended",
        ("edgewise.mode", "edgewise.rule", "edgewise.tier.kind", "edgewise.finish"),
    ),
    MetricName(
        "edgewise.requests.refused", "counter", "{request}",
        "Requests that got no stream: by error code, reservations (rate_limited, budget_exceeded) among them",
        ("edgewise.error.code",),
    ),
    MetricName(
        "edgewise.migrations", "counter", "{migration}",
        "Hand-offs to another tier: new (before the first token) or ongoing (in mid-answer)",
        ("edgewise.migration.type",),
    ),
    MetricName("edgewise.takeovers", "counter", "{answer}", "Answers of a dead runner that went on here"),
    MetricName(
        "edgewise.streams.interrupted", "counter", "{answer}", "Answers that ended with an error after words were said"
    ),
    MetricName(
        "edgewise.streams.interruption_ratio", "gauge", "1", "Interrupted answers by all that ended, since the start"
    ),
    MetricName("edgewise.race.waste", "counter", "{token}", "Tokens that losers of a race had made"),
    MetricName(
        "edgewise.latency.duration", "histogram", "s", "An answer's latency, taken apart at five points",
        ("edgewise.latency.point", "edgewise.tier.kind"), (*SHORT_SECONDS, 20.0),
    ),
    MetricName(
        "edgewise.kv.size", "histogram", "By", "Keys and values that an attempt held at its end, as its node says",
        ("edgewise.tier.kind",), BYTES,
    ),
    MetricName("edgewise.policy.decision.duration", "histogram", "s", "What a decision took", (), MICROSECONDS),
    MetricName("edgewise.log.append.duration", "histogram", "s", "What an append waited", (), SHORT_SECONDS),
    MetricName(
        "edgewise.log.errors", "counter", "{error}", "Answers here that the token log failed",
        ("edgewise.log.operation",),
    ),
    MetricName("edgewise.streams.open", "gauge", "{stream}", "Answers that are being made here now"),
    MetricName("edgewise.streams.followed", "gauge", "{stream}", "Streams that somebody reads here now"),
    MetricName("edgewise.streams.readers", "gauge", "{reader}", "Readers of streams here now"),
    MetricName("edgewise.nodes", "gauge", "{node}", "Connected nodes", ("edgewise.tier.kind",)),
    MetricName(
        "edgewise.queue.depth", "gauge", "{attempt}", "Attempts that wait on nodes (their own report)",
        ("edgewise.tier.kind",),
    ),
    MetricName("edgewise.websocket.sessions", "gauge", "{session}", "Client WebSocket sessions here now"),
    MetricName("edgewise.jobs", "gauge", "{job}", "Jobs by state, counted every few seconds", ("edgewise.job.state",)),
    MetricName("edgewise.decisions.waiting", "gauge", "{event}", "Decision events that wait to be written to SQL"),
    MetricName("edgewise.decisions.lost", "counter", "{event}", "Decision events that could not be kept at all"),
    MetricName("edgewise.diagnostics.dropped", "counter", "{line}", "Diagnostic lines that found the queue full"),
    MetricName("edgewise.spans.dropped", "counter", "{span}", "Answers whose spans found the queue full"),
    MetricName("edgewise.series.folded", "counter", "{series}", "Label sets beyond the limit, counted as `other`"),
    MetricName(
        "edgewise.attempts", "counter", "{attempt}", "Attempts that this node served, by outcome", ("edgewise.finish",)
    ),
    MetricName("process.memory.usage", "gauge", "By", "Resident memory of this process"),
    MetricName("process.unix.file_descriptor.count", "gauge", "{file_descriptor}", "Open files of this process"),
)  # fmt: skip


@dataclass(frozen=True)
class Convention:
    """One version of the names. `token_metrics` are given (input tokens, output tokens)."""

    version: str
    schema_url: str
    token_metrics: tuple[str, str]
    cache_write: str
    metrics: Mapping[str, MetricName]


def _convention(
    version: str, schema_url: str, token_metrics: tuple[str, str], cache_write: str, *own: MetricName
) -> Convention:
    return Convention(version, schema_url, token_metrics, cache_write, {each.name: each for each in (*own, *_COMMON)})


PINNED = _convention(
    "1.41.0",
    "https://opentelemetry.io/schemas/1.41.0",
    ("gen_ai.client.token.usage", "gen_ai.client.token.usage"),
    "gen_ai.usage.cache_creation.input_tokens",
    MetricName(
        "gen_ai.client.token.usage", "histogram", "{token}", "Tokens of an answer, read and written",
        (*_GEN_AI, "gen_ai.token.type"), TOKENS,
    ),
)  # fmt: skip
LATEST = _convention(
    "genai-latest",
    "https://opentelemetry.io/schemas/1.41.0",
    ("gen_ai.client.inference.operation.input_tokens", "gen_ai.client.inference.operation.output_tokens"),
    "gen_ai.usage.cache_write.input_tokens",
    MetricName(
        "gen_ai.client.inference.operation.input_tokens", "histogram", "{token}", "Tokens that an answer read",
        _GEN_AI, TOKENS,
    ),
    MetricName(
        "gen_ai.client.inference.operation.output_tokens", "histogram", "{token}", "Tokens that an answer wrote",
        _GEN_AI, TOKENS,
    ),
)  # fmt: skip
"""PINNED is the default. LATEST has the renamings that wait upstream (tokens per direction, `cache_write`)."""


def chosen(environ: Mapping[str, str]) -> Convention:
    """The version that OTEL_SEMCONV_STABILITY_OPT_IN asks for."""
    wishes = {wish.strip() for wish in environ.get(OPT_IN_VARIABLE, "").split(",")}
    return LATEST if OPT_IN in wishes else PINNED
