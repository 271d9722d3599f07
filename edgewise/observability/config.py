"""The settings of seeing, the same for every process, and what they open: an Observer with its exporters."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise import __version__, settings
from edgewise.observability.diagnostics import Diagnostics
from edgewise.observability.diagnostics_file import DiagnosticsFile
from edgewise.observability.logs import LogFormat
from edgewise.observability.names import chosen
from edgewise.observability.observer import Observer
from edgewise.settings import Setting, SettingsTable, is_address

if TYPE_CHECKING:
    from edgewise.observability.otlp import SpanThread

ENDPOINT_VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
DIAGNOSTICS_FILE = "diagnostics.jsonl"
logger = logging.getLogger(__name__)


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


SETTINGS = SettingsTable(
    "EDGEWISE_",
    {
        "log_format": Setting("json or text", fits=lambda form: form in {"json", "text"}),
        "otlp_endpoint": Setting(
            "an address of an OTLP/HTTP collector, such as http://collector:4318",
            fits=lambda url: not url or is_address(url, frozenset({"http", "https"})),
        ),
        "trace_ratio": Setting("0 to 1", float, _is_share),
        "trace_slow_s": settings.seconds(),
        "metrics_every_s": settings.seconds(),
        "metrics_token": Setting("what a scraper must show", shown=False),
        "diagnostics_file": settings.file(expected="a file to append diagnostic lines to"),
    },
)


@dataclass(frozen=True, kw_only=True)
class ObservabilityConfig:
    """Settings; units are in the names. otlp_endpoint: empty leaves it to OTEL_EXPORTER_OTLP_ENDPOINT, without either
    nothing is exported. trace_ratio: the share of traces that begin here and are recorded. trace_slow_s: longer answers
    are always recorded. metrics_token: lets others than this machine read /metrics. diagnostics_file: None is
    `diagnostics.jsonl` in the data directory.
    """

    log_format: LogFormat = "text"
    otlp_endpoint: str = ""
    trace_ratio: float = 0.01
    trace_slow_s: float = 30.0
    metrics_every_s: float = 15.0
    metrics_token: str = field(default="", repr=False)
    diagnostics_file: Path | None = None

    def __post_init__(self) -> None:
        SETTINGS.check(self)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> ObservabilityConfig:
        """Settings from arguments that are not None, then from the variables. Raises ConfigError."""
        return SETTINGS.load(cls, environ, explicit)


@contextmanager
def observing(
    role: str, instance: str, data_dir: Path, *, environ: Mapping[str, str] | None = None
) -> Iterator[Observer]:
    """An Observer for a process while the block runs; what is left is sent at the end. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    config = ObservabilityConfig.load(environ)
    ends: list[Callable[[], None]] = []
    convention = chosen(environ)
    wanted = bool(config.otlp_endpoint) or any(environ.get(name) for name in ENDPOINT_VARIABLES)
    otlp = _otlp() if wanted else None
    sink: SpanThread | None = None
    if otlp is not None:
        resource = otlp.new_resource(f"edgewise-{role}", instance, __version__)
        sink = otlp.SpanThread(otlp.new_span_exporter(config.otlp_endpoint), resource, convention)
        ends.append(sink.stop)
    diagnostics = Diagnostics(DiagnosticsFile(config.diagnostics_file or data_dir / DIAGNOSTICS_FILE))
    ends.append(diagnostics.stop)
    observer = Observer(
        convention=convention,
        sample_ratio=config.trace_ratio,
        slow_s=config.trace_slow_s,
        sink=sink,
        diagnostics=diagnostics,
        scrape_token=config.metrics_token,
    )
    if otlp is not None:
        exporter = otlp.new_metric_exporter(config.otlp_endpoint)
        ends.append(
            otlp.MetricThread(exporter, observer.meter, resource, convention, every_s=config.metrics_every_s).stop
        )
    try:
        yield observer
    finally:
        for end in ends:
            end()


def _otlp() -> Any:
    """The exporters, where the SDK is installed (the extra `control` brings it)."""
    try:
        return importlib.import_module("edgewise.observability.otlp")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        logger.warning("an OTLP endpoint is set, but the OpenTelemetry SDK is not installed: nothing is exported")
        return None


def log_format(environ: Mapping[str, str] | None = None) -> LogFormat:
    """The form of log lines, before anything else is known. Raises ConfigError."""
    return ObservabilityConfig.load(environ).log_format
