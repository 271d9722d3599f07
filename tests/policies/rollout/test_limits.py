"""The limits of gates: which texts are one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.rollout.gates import Gate, QuantileGrowth, QuantileLimit, ShareLimit, ShareRise
from policies.rollout.limits import GATES, forms, read_gate


@pytest.mark.parametrize(
    ("name", "text", "gate"),
    [
        ("decisionChange", "<= 8%", ShareLimit("decisionChange", "<= 8%", 0.08, True, False)),
        ("decisionChange", "<=8 %", ShareLimit("decisionChange", "<=8 %", 0.08, True, False)),
        ("replayUnknown", "== 0", ShareLimit("replayUnknown", "== 0", 0.0, True, False)),
        ("errors", "<= 0", ShareLimit("errors", "<= 0", 0.0, False, True)),
        ("errors", "<= +0.5pp", ShareRise("errors", "<= +0.5pp", 0.005, False, True)),
        ("decisionErrors", "<= +0.5pp", ShareRise("decisionErrors", "<= +0.5pp", 0.005, True, True)),
        ("p95FirstToken", "<= +5%", QuantileGrowth("p95FirstToken", "<= +5%", "firstToken", 0.95, 0.05)),
        ("p50Total", "<= 2s", QuantileLimit("p50Total", "<= 2s", "total", 0.5, 2.0)),
        ("p99FirstToken", "<= 800ms", QuantileLimit("p99FirstToken", "<= 800ms", "firstToken", 0.99, 0.8)),
        ("errors", "<= +5%", None),  # points or growth? `pp` says which
        ("errors", "<= 1", None),
        ("errors", "== 1%", None),
        ("errors", "<= 100%", None),
        ("errors", ">= 1%", None),
        ("errors", "<= -1%", None),
        ("decisionChange", "<= +1pp", None),
        ("p95FirstToken", "<= 5%", None),
        ("p95FirstToken", "== 0", None),
        ("p95FirstToken", "<= 0ms", None),
        ("p95FirstToken", "<= 2h", None),
        ("p95FirstToken", "<= 3601s", None),
    ],
)
def test_a_limit(name: str, text: str, gate: Gate | None) -> None:
    assert read_gate(name, text) == gate


@given(st.sampled_from(GATES), st.text(alphabet="<=+0123456789.%pms ", max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_limit_or_none(name: str, text: str) -> None:
    gate = read_gate(name, text)
    assert gate is None or (gate.name, gate.text) == (name, text)


@pytest.mark.parametrize("name", GATES)
def test_the_forms_that_people_are_told_are_limits(name: str) -> None:
    told = forms(name).split('"')[1::2]
    assert told and all(read_gate(name, text) is not None for text in told)
