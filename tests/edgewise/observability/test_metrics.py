"""Counters, histograms and gauges, and how Prometheus reads them: its own parser is the judge."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edgewise.observability.metrics import OTHER, SERIES_MAX, Meter
from edgewise.observability.names import PINNED, MetricName
from edgewise.observability.prometheus import prometheus_name, render

COUNTED = MetricName("edgewise.things", "counter", "{thing}", "Things", ("edgewise.rule",))
TIMED = MetricName("edgewise.wait", "histogram", "s", "Waiting", ("edgewise.mode",), (0.1, 1.0))
HELD = MetricName("edgewise.held", "gauge", "By", 'A "quoted"\nhelp')
FOLDED = PINNED.metrics["edgewise.series.folded"]


def meter() -> Meter:
    return Meter([COUNTED, TIMED, HELD, FOLDED])


def parsed(meter: Meter) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name → label values → value."""
    samples: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(render(meter).decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return samples


def test_what_is_recorded_is_what_prometheus_reads() -> None:
    made = meter()
    made.counter("edgewise.things").add(2, "a")
    made.counter("edgewise.things").add(1, "a")
    for value in (0.05, 0.1, 0.5, 7.0):
        made.histogram("edgewise.wait").record(value, "race")
    made.histogram("edgewise.wait").bind("edge")(0.5)
    made.gauge("edgewise.held").watch(lambda: {(): 12.5})
    found = parsed(made)
    assert found["edgewise_things_total"] == {("a",): 3}
    buckets = {key[1]: value for key, value in found["edgewise_wait_seconds_bucket"].items() if key[0] == "race"}
    assert buckets == {"0.1": 2, "1": 3, "+Inf": 4}
    assert found["edgewise_wait_seconds_count"] == {("race",): 4, ("edge",): 1}
    assert found["edgewise_wait_seconds_sum"][("race",)] == pytest.approx(7.65)
    assert found["edgewise_held_bytes"] == {(): 12.5}


@example('a "quoted"\nline \\ and more')
@given(st.text(max_size=30))
def test_a_label_can_be_any_text(rule: str) -> None:
    made = meter()
    made.counter("edgewise.things").add(1, rule)
    assert parsed(made)["edgewise_things_total"] == {(rule,): 1}


def test_label_sets_are_bounded_and_the_rest_is_counted_together() -> None:
    made = meter()
    for number in range(SERIES_MAX + 7):
        made.counter("edgewise.things").add(1, f"rule-{number}")
        made.histogram("edgewise.wait").record(0.5, f"mode-{number}")
    assert len(made.counter("edgewise.things").series) == SERIES_MAX + 1
    assert made.counter("edgewise.things").series[(OTHER,)] == 7
    assert made.histogram("edgewise.wait").series[(OTHER,)][-1] == pytest.approx(3.5)
    assert made.counter("edgewise.series.folded").series[()] == 14


def test_an_instrument_outside_the_table_or_of_another_kind_does_not_exist() -> None:
    with pytest.raises(KeyError):
        meter().counter("edgewise.nothing")
    with pytest.raises(TypeError, match=r"edgewise\.wait is a histogram, not a counter"):
        meter().counter("edgewise.wait")


def test_prometheus_names_are_all_different() -> None:
    names = [prometheus_name(metric) for metric in PINNED.metrics.values()]
    assert len(set(names)) == len(names)
    assert "gen_ai_server_time_to_first_token_seconds" in names
    assert "edgewise_streams_interruption_ratio" in names
    assert "process_memory_usage_bytes" in names
