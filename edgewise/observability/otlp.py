"""The only file that imports the OpenTelemetry SDK: spans and metrics over OTLP/HTTP, from threads of their own.

Spans come as records that were made after the fact (spans.py), metrics as what a Meter holds at that moment. The
endpoint, headers and time-outs beside it are read by the exporters themselves (OTEL_EXPORTER_OTLP_…).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from edgewise.observability.metrics import Counter, Gauge, Histogram, Instrument, Labels, Meter
from edgewise.observability.names import SCOPE, Convention
from edgewise.observability.observer import Build
from edgewise.observability.spans import SpanRecord

QUEUE_MAX = 2048
NANOS = 1_000_000_000
_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
logger = logging.getLogger(__name__)


class SpanThread:
    """A SpanSink: one thread builds spans and hands them to the SDK's batch processor, which has a thread of its own.

    `exporter` is the SDK's; `offset_s` is Unix time minus the monotonic clock.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        resource: Resource,
        convention: Convention,
        *,
        offset_s: Callable[[], float] = lambda: time.time() - time.monotonic(),
    ) -> None:
        self._processor = BatchSpanProcessor(exporter)
        self._resource = resource
        self._scope = InstrumentationScope(SCOPE, convention.version, convention.schema_url)
        self._offset_s = offset_s
        self._queue: queue.Queue[Build | None] = queue.Queue(QUEUE_MAX)
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, build: Build) -> bool:
        """Keep it for the thread; False when there is no room."""
        try:
            self._queue.put_nowait(build)
        except queue.Full:
            return False
        return True

    def stop(self) -> None:
        """Build and send what is left."""
        self._queue.put(None)
        self._thread.join()
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        while (build := self._queue.get()) is not None:
            try:
                for record in build():
                    self._processor.on_end(self._readable(record))
            except Exception as error:  # noqa: BLE001 (one answer's spans must not end the thread)
                logger.error("the spans of an answer could not be built: %s", type(error).__name__)

    def _readable(self, record: SpanRecord) -> ReadableSpan:
        offset_s = self._offset_s()
        trace_id = record.context.trace_id
        return ReadableSpan(
            name=record.name,
            context=_span_context(trace_id, record.context.span_id),
            parent=_span_context(trace_id, record.parent_id) if record.parent_id else None,
            resource=self._resource,
            attributes=dict(record.attributes),
            kind=_KINDS[record.kind],
            status=Status(StatusCode.ERROR, record.error) if record.error else Status(StatusCode.UNSET),
            start_time=int((record.start_s + offset_s) * NANOS),
            end_time=int((record.end_s + offset_s) * NANOS),
            instrumentation_scope=self._scope,
        )


class MetricThread:
    """Sends what a Meter holds, every `every_s` and once more at the end. Sums are cumulative since the start.

    Gauges are asked in this thread: what they ask must only read.
    """

    def __init__(
        self,
        exporter: MetricExporter,
        meter: Meter,
        resource: Resource,
        convention: Convention,
        *,
        every_s: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._exporter = exporter
        self._meter = meter
        self._resource = resource
        self._convention = convention
        self._every_s = every_s
        self._now = now
        self._began_ns = int(now() * NANOS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send the last state."""
        self._stopping.set()
        self._thread.join()
        self._exporter.shutdown()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._every_s)
            try:
                self._exporter.export(self.snapshot())
            except Exception as error:  # noqa: BLE001 (the next turn may do better)
                logger.warning("metrics could not be sent: %s", type(error).__name__)

    def snapshot(self) -> MetricsData:
        """All series as the SDK's points."""
        at_ns = int(self._now() * NANOS)
        made = (self._metric(instrument, at_ns) for instrument in self._meter.instruments.values())
        scope = InstrumentationScope(SCOPE, self._convention.version, self._convention.schema_url)
        metrics = [metric for metric in made if metric is not None]
        scoped = otel.ScopeMetrics(scope, metrics, self._convention.schema_url)
        return MetricsData([otel.ResourceMetrics(self._resource, [scoped], self._convention.schema_url)])

    def _metric(self, instrument: Instrument, at_ns: int) -> otel.Metric | None:
        name = instrument.name
        data: Any
        match instrument:
            case Counter():
                points = [self._number(instrument, each, at_ns) for each in list(instrument.series.items())]
                data = otel.Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
            case Gauge():
                points = [self._number(instrument, each, at_ns) for each in list(instrument.series.items())]
                data = otel.Gauge(points)
            case Histogram():
                shapes = [self._shape(instrument, each, at_ns) for each in list(instrument.series.items())]
                data = otel.Histogram(shapes, AggregationTemporality.CUMULATIVE)
        return otel.Metric(name.name, name.about, name.unit, data) if data.data_points else None

    def _number(self, instrument: Instrument, series: tuple[Labels, float], at_ns: int) -> otel.NumberDataPoint:
        return otel.NumberDataPoint(_attributes(instrument, series[0]), self._began_ns, at_ns, series[1])

    def _shape(
        self, instrument: Histogram, series: tuple[Labels, Sequence[float]], at_ns: int
    ) -> otel.HistogramDataPoint:
        labels, counts = series[0], [int(count) for count in series[1][:-1]]
        return otel.HistogramDataPoint(
            attributes=_attributes(instrument, labels),
            start_time_unix_nano=self._began_ns,
            time_unix_nano=at_ns,
            count=sum(counts),
            sum=series[1][-1],
            bucket_counts=counts,
            explicit_bounds=instrument.name.buckets,
            min=float("nan"),
            max=float("nan"),
        )


def new_span_exporter(endpoint: str) -> SpanExporter:
    """The exporter towards a collector's base address; an empty one leaves it to the exporter's own variables."""
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)


def new_metric_exporter(endpoint: str) -> MetricExporter:
    """As `new_span_exporter`."""
    return OTLPMetricExporter(endpoint=f"{endpoint.rstrip('/')}/v1/metrics" if endpoint else None)


def new_resource(service: str, instance: str, version: str) -> Resource:
    """Who sends; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    return Resource.create({"service.name": service, "service.instance.id": instance, "service.version": version})


def _attributes(instrument: Instrument, labels: Labels) -> dict[str, str]:
    """Without values that are empty: an attribute that is not known is absent."""
    return {name: value for name, value in zip(instrument.name.attributes, labels, strict=True) if value}


def _span_context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
