"""Rows of the speculation benchmark, from what was told: the pair, the draft's call, the controller beside the best."""

from __future__ import annotations

from typing import Any

from benchmarks.cloud_speculation import AUTO, OFF, WAYS, rows_of


def told(tokens_per_s: float, said: str = "same") -> dict[str, Any]:
    return {"tokens": tokens_per_s, "seconds": 1.0, "said": [said], "drafted": 100, "accepted": 70}


def found(speeds: dict[str, float], **texts: str) -> dict[int, dict[str, list[dict[str, Any]]]]:
    ways = {way: [told(speeds.get(way, 50.0), texts.get(way, "same"))] for way in WAYS}
    return {1: ways, 64: ways}


def test_the_controller_stands_beside_the_best_of_all_others() -> None:
    rows = rows_of(found({OFF: 100.0, AUTO: 160.0, "4": 164.0}), {"step_s": 0.010, "draft_s": 0.002})
    assert [(row.metric[:14], row.ratio and round(row.ratio, 2), row.holds) for row in rows] == [
        ("output with th", 1.6, True),
        ("a call of the ", 0.2, True),
        ("the controller", 0.98, True),
        ("the controller", 0.98, True),
    ]
    assert "70% of drafts held" in rows[0].condition and rows[2].peer.endswith(": 4")


def test_what_is_too_slow_does_not_hold_and_neither_does_another_text() -> None:
    slow = rows_of(found({OFF: 100.0, AUTO: 90.0}), {"step_s": 0.010, "draft_s": 0.003})
    assert [row.holds for row in slow] == [False] * 4
    other = rows_of(found({OFF: 100.0, AUTO: 160.0}, auto="other"), {"step_s": 0.010, "draft_s": 0.002})
    assert [row.holds for row in other if row.metric != "a call of the draft model"] == [False] * 3
    assert other[0].reason == "drafts changed the text"
