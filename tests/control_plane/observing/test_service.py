"""Percentiles over decision records."""

from __future__ import annotations

import pytest

from control_plane.observing.repository import AnswerTimes
from control_plane.observing.service import quantiles, summarize
from edgewise.observability.names import POINTS


def test_percentiles_are_of_the_nearest_rank() -> None:
    found = quantiles([second / 1000 for second in range(100, 0, -1)])
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (50.0, 95.0, 99.0)
    assert found.mean_ms == pytest.approx(50.5)
    assert quantiles([0.25]).p99_ms == 250.0


def test_only_answers_with_all_points_are_taken_apart() -> None:
    whole = dict.fromkeys(POINTS, 0.5)
    answers = [
        AnswerTimes(whole, 0.1, 2.0),
        AnswerTimes({"model": 1.0}, None, 4.0),
        AnswerTimes(None, None, None),
    ]
    view = summarize(answers)
    assert view.answers == 1
    assert {name: point.p50_ms for name, point in view.points.items()} == dict.fromkeys(POINTS, 500.0)
    assert view.total is not None
    assert view.total.p99_ms == 4000.0
    assert view.first_token is not None


def test_nothing_answered_is_no_error() -> None:
    view = summarize([])
    assert (view.answers, view.points, view.first_token, view.total) == (0, {}, None, None)
