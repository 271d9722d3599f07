"""The exporters against a real collector over HTTP, and their absence, which costs nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgewise.observability.config import SETTINGS, ObservabilityConfig, observing
from edgewise.wire.errors import ConfigError
from tests.edgewise.observability.records import begun, spoken
from tests.factories.collector import running_collector

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
LAZY = """
import sys
sys.modules["opentelemetry"] = None
from pathlib import Path
from edgewise.observability.config import observing
with observing("agent", "edge-0", Path("."), environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) as seen:
    assert seen.sink is None
print([name for name in sys.modules if name.partition(".")[0] in {"opentelemetry", "requests", "google"}])
"""


def test_spans_and_metrics_reach_a_collector(tmp_path: Path) -> None:
    before_ns = time.time_ns()
    with running_collector() as collector:
        environ = {"EDGEWISE_OTLP_ENDPOINT": collector.url, "EDGEWISE_TRACE_RATIO": "1"}
        with observing("control", "g-1", tmp_path, environ=environ) as seen:
            trail = begun(seen)
            spoken(trail)
            seen.ended(trail, finish="stop", tokens_in=5, tokens_out=3, first_token_s=0.01)
        spans = collector.trace(trail.context.trace_id)
    assert {each.service for each in spans} == {"edgewise-control"}
    attempt = next(each for each in spans if each.name == "chat edgewise")
    assert attempt.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert all(abs(each.start_ns - before_ns) < 60 * 10**9 for each in spans)
    assert all(0 <= each.end_ns - each.start_ns < 60 * 10**9 for each in spans)
    metric = collector.metrics["gen_ai.server.request.duration"]
    (point,) = metric.histogram.data_points
    assert (point.count, len(point.bucket_counts), point.explicit_bounds[0]) == (1, 15, 0.01)
    assert metric.histogram.aggregation_temporality == 2
    assert "error.type" not in {pair.key for pair in point.attributes}
    assert collector.metrics["edgewise.answers"].sum.is_monotonic


def test_without_the_sdk_a_process_goes_on_and_imports_none_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['opentelemetry']"
    assert "not installed" in done.stderr


def test_without_an_endpoint_nothing_is_exported(tmp_path: Path) -> None:
    with observing("worker", "w", tmp_path, environ={}) as seen:
        assert seen.sink is None
        assert seen.diagnostics.able
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "variable", ["TRACE_RATIO=1.5", "LOG_FORMAT=xml", "OTLP_ENDPOINT=collector:4317", "METRICS_EVERY_S=0"]
)
def test_wrong_settings_are_told(variable: str) -> None:
    name, _, value = variable.partition("=")
    with pytest.raises(ConfigError, match=f"EDGEWISE_{name}"):
        try:
            ObservabilityConfig.load({f"EDGEWISE_{name}": value})
        except ConfigError as error:
            raise ConfigError(error.where) from error


def test_the_page_has_a_row_for_every_setting() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in SETTINGS.settings if f"| `{SETTINGS.variable(name)}` | |" not in page] == []
