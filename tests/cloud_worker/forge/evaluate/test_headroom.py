"""Routing bounds: the oracle is never worse than either model, and the cascade's ends are the two models."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_worker.forge.evaluate.headroom import at_threshold, cascade, headroom, largest_share

FEW = settings(max_examples=60, deadline=None, derandomize=True)
ITEMS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(-5, 0).map(float)), min_size=1, max_size=30)


def test_four_items_one_of_each_kind() -> None:
    found = headroom([True, True, False, False], [True, False, True, False])
    assert (found.edge_only, found.cloud_only, found.coin, found.oracle) == (50, 50, 50, 75)
    assert (found.oracle_share, found.share_at_cloud_accuracy) == (75, 100)
    assert (found.only_edge_right, found.only_cloud_right) == (25, 25)


def test_items_are_needed() -> None:
    with pytest.raises(ValueError, match="no items"):
        headroom([], [])


@FEW
@given(ITEMS)
def test_the_oracle_bounds_everything(items: list[tuple[bool, bool, float]]) -> None:
    edge, cloud, scores = ([item[place] for item in items] for place in range(3))
    found = headroom(edge, cloud)  # type: ignore[arg-type]
    assert found.oracle >= max(found.edge_only, found.cloud_only, found.coin) - 1e-9
    assert found.share_at_cloud_accuracy >= found.oracle_share - 1e-9
    best = max(point.accuracy for point in cascade(edge, cloud, scores))  # type: ignore[arg-type]
    assert best <= found.oracle + 1e-9


@FEW
@given(ITEMS, st.data())
def test_one_more_right_answer_never_lowers_the_oracle(
    items: list[tuple[bool, bool, float]], data: st.DataObject
) -> None:
    edge, cloud = [e for e, _, _ in items], [c for _, c, _ in items]
    place = data.draw(st.integers(0, len(items) - 1))
    better = [*edge[:place], True, *edge[place + 1 :]]
    assert headroom(better, cloud).oracle >= headroom(edge, cloud).oracle


@FEW
@given(ITEMS)
def test_a_cascade_goes_from_cloud_to_edge_and_agrees_with_its_threshold(
    items: list[tuple[bool, bool, float]],
) -> None:
    edge, cloud, scores = [e for e, _, _ in items], [c for _, c, _ in items], [s for _, _, s in items]
    points = cascade(edge, cloud, scores)
    assert points[0].accuracy == pytest.approx(headroom(edge, cloud).cloud_only)
    assert points[-1].accuracy == pytest.approx(headroom(edge, cloud).edge_only)
    for threshold in set(scores):
        last = [point for point in points if point.threshold == threshold][-1]
        found = at_threshold(edge, cloud, scores, threshold)
        assert (found.share, found.accuracy) == pytest.approx((last.share, last.accuracy))


@FEW
@example(items=[(True, False, -1.0), (False, True, -1.0)], accuracy=100)
@given(ITEMS, st.integers(0, 100))
def test_a_chosen_threshold_gives_on_its_own_items_what_the_curve_promised(
    items: list[tuple[bool, bool, float]], accuracy: int
) -> None:
    edge, cloud, scores = [e for e, _, _ in items], [c for _, c, _ in items], [s for _, _, s in items]
    picked = largest_share(cascade(edge, cloud, scores), accuracy)
    found = at_threshold(edge, cloud, scores, picked.threshold)
    assert (found.share, found.accuracy) == pytest.approx((picked.share, picked.accuracy))


def test_the_largest_share_at_an_accuracy() -> None:
    points = cascade([True, False, True], [True, True, False], [-1.0, -2.0, -3.0])
    assert largest_share(points, 66).share == pytest.approx(100)
    assert largest_share(points[:3], 66).share == pytest.approx(100 / 3)
    assert largest_share(points, 101).share == 0
