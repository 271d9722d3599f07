"""Conformance: all that is emitted stands in the table, with its attributes, types, units and buckets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgewise.observability.metrics import Gauge, Histogram
from edgewise.observability.names import ATTRIBUTES, LATEST, PINNED, SPANS, Convention, chosen
from tests.edgewise.observability.records import everything, observer

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "observe.md"
BOTH = pytest.mark.parametrize("convention", [PINNED, LATEST], ids=lambda each: each.version)
BY_NAME = {spec.name: spec for spec in SPANS.values()} | {"chat edgewise": SPANS["attempt"]}


def test_every_span_is_of_the_table() -> None:
    seen, sink = observer()
    everything(seen)
    assert {record.name for record in sink.spans} >= set(BY_NAME) - {SPANS["attempt"].name, SPANS["job"].name}
    for record in sink.spans:
        spec = BY_NAME[record.name]
        assert record.kind == spec.kind
        assert set(record.attributes) <= set(spec.attributes), record.name
        for name, value in record.attributes.items():
            assert isinstance(value, ATTRIBUTES[name]), (record.name, name)
        assert record.start_s <= record.end_s


@BOTH
def test_every_metric_is_of_the_table_and_every_one_is_emitted(convention: Convention) -> None:
    seen, _ = observer(convention=convention)
    everything(seen)
    assert set(seen.meter.instruments) == set(convention.metrics)
    silent = set()
    for name, instrument in seen.meter.instruments.items():
        assert instrument.name is convention.metrics[name]
        if not instrument.series and not isinstance(instrument, Gauge):
            silent.add(name)
        for labels, series in instrument.series.items():
            assert len(labels) == len(instrument.name.attributes)
            if isinstance(instrument, Histogram):
                assert isinstance(series, list)
                assert len(series) == len(instrument.name.buckets) + 2
    lost = {"decisions.lost", "diagnostics.dropped", "spans.dropped", "series.folded"}
    assert silent == {f"edgewise.{name}" for name in lost}


@BOTH
def test_the_table_agrees_with_itself(convention: Convention) -> None:
    for metric in convention.metrics.values():
        assert set(metric.attributes) <= set(ATTRIBUTES)
        assert bool(metric.buckets) is (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert re.fullmatch(r"(gen_ai|edgewise|process)\.[a-z_.]+", metric.name)
        assert metric.unit in {"s", "By", "1"} or re.fullmatch(r"\{[a-z_]+\}", metric.unit)
    assert set(convention.token_metrics) <= set(convention.metrics)
    assert convention.cache_write in ATTRIBUTES
    for span in SPANS.values():
        assert set(span.attributes) <= set(ATTRIBUTES)


def test_the_buckets_are_those_that_the_conventions_advise() -> None:
    metrics = PINNED.metrics
    assert metrics["gen_ai.server.request.duration"].buckets[:3] == (0.01, 0.02, 0.04)
    assert metrics["gen_ai.server.request.duration"].buckets[-1] == 81.92
    assert metrics["gen_ai.server.time_to_first_token"].buckets[-3:] == (5.0, 7.5, 10.0)
    assert len(metrics["gen_ai.server.time_per_output_token"].buckets) == 13
    assert metrics["gen_ai.client.token.usage"].buckets[-1] == 67108864


def test_the_renamings_that_wait_upstream_are_switched_on_by_the_agreed_variable() -> None:
    assert chosen({}) is PINNED
    assert chosen({"OTEL_SEMCONV_STABILITY_OPT_IN": "http, gen_ai_latest_experimental"}) is LATEST
    assert "gen_ai.client.token.usage" not in LATEST.metrics
    assert LATEST.cache_write == "gen_ai.usage.cache_write.input_tokens"
    seen, _ = observer(convention=LATEST)
    everything(seen)
    labels = ("chat", "edgewise", "edgewise")
    assert set(seen.meter.histogram("gen_ai.client.inference.operation.input_tokens").series) == {labels}


def test_the_page_names_every_span_and_metric() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [spec.name for spec in SPANS.values() if f"`{spec.name}`" not in page]
    missing += [
        name for convention in (PINNED, LATEST) for name, metric in convention.metrics.items()
        if f"| `{name}` | {metric.unit} |" not in page
    ]  # fmt: skip
    assert missing == []
