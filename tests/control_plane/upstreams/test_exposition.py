"""Gauges out of Prometheus text: as the reference parser reads them, and nothing worse than nothing for other bytes."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.upstreams.exposition import SAMPLES_MAX, read_gauges

VALUES = st.lists(
    st.tuples(st.text(max_size=6), st.one_of(st.integers(-3, 10**9), st.floats())),
    max_size=4,
    unique_by=lambda pair: pair[0],
)


@given(values=VALUES)
def test_every_label_and_number_is_read_as_the_reference_reads_it(values: list[tuple[str, float]]) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("engine:running", "what } runs", ["model"], registry=registry)
    Gauge("engine:running_more", "another", registry=registry).set(7)
    for model, value in values:
        gauge.labels(model.replace("\x00", "")).set(value)
    page = generate_latest(registry).decode()
    samples = [
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "engine:running" and math.isfinite(sample.value) and sample.value >= 0
    ]
    assert read_gauges(page, ["engine:running", ""]).get("engine:running", []) == samples


@given(junk=st.one_of(st.text(), st.binary().map(lambda data: data.decode("utf-8", errors="replace"))))
def test_anything_else_tells_nothing(junk: str) -> None:
    for text in (junk, f"a{junk}", f"a {junk}", f"a{{{junk}}} 1"):
        for values in read_gauges(text, ["a"]).values():
            assert all(math.isfinite(value) and value >= 0 for value in values)


def test_stamps_and_carriage_returns_are_understood_and_underscores_are_no_digits() -> None:
    assert read_gauges('a{b="\\"} 9"} 3 1700000000\r\na 4\na 1_0\na\na NaN\nab 5\n', ["a"]) == {"a": [3, 4]}


def test_a_page_without_end_is_read_to_a_bound() -> None:
    assert read_gauges("a 1\n" * (2 * SAMPLES_MAX), ["a"]) == {"a": [1.0] * SAMPLES_MAX}
