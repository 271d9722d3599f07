"""The scheduler's benchmark: rows with their floors for every load, and fairness that is counted."""

from __future__ import annotations

import pytest

from benchmarks.scheduler import LOADS, Desk, Load, costs, fairness, shares


@pytest.mark.parametrize(
    "load",
    [Load("few", 4), Load("rows", 4, rows=3, waiting=2), Load("short", 4, length=20)],
    ids=lambda load: load.name,
)
def test_a_step_has_a_cost_under_every_load(load: Load) -> None:
    rows = costs(load, steps=60)
    assert [each.metric for each in rows] == [
        "plan, p50",
        "plan, p99",
        "plan and advance, p50",
        "plan and advance, p99",
    ]
    assert all(each.condition == load.name and each.ours > 0 for each in rows)
    assert [each.floor is not None for each in rows] == [True, False, load.steady, False]


def test_the_loads_are_what_they_say() -> None:
    assert max(each.answers * each.rows for each in LOADS) == 256
    desk = Desk(Load("rows", 4, rows=3, waiting=2))
    for _ in range(3):
        desk.step()
    assert len(desk.scheduler.answering) == 4 and desk.scheduler.waiting == 2
    desk.scheduler.check_integrity()


def test_fairness_is_a_ratio_and_an_index() -> None:
    done: list[int] = []
    median, worst = fairness(40_000.0, 1, lambda: done.append(1))
    assert done == [1] and median.floor is None and worst.floor is not None
    assert worst.peer == "alone" and worst.ratio is not None
    assert shares(30_000.0).holds
