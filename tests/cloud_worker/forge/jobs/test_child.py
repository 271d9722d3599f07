"""What becomes of an order: results, errors in words that hold no content, and references made into paths."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec

from cloud_worker.forge.jobs.child import Channel, Order, carry_out
from cloud_worker.forge.jobs.claim import Outcome, Told

MODULE = "tests.cloud_worker.forge.jobs.bodies"


def carried_out(folder: Path, kind: str, payload: dict[str, Any]) -> tuple[Outcome, list[Told]]:
    heard: list[Told] = []
    order = Order(kind=kind, payload=payload, folder=str(folder), roots=(str(folder),), modules=(MODULE,))
    return carry_out(order, heard.append), heard


def test_a_result_and_the_progress_on_the_way(tmp_path: Path) -> None:
    outcome, heard = carried_out(tmp_path, "test.staged", {})
    assert outcome == Outcome(result={"stages": ["a", "b", "c"]})
    assert [told.fraction for told in heard] == sorted(told.fraction for told in heard)
    assert heard[-1].fraction == 1.0


def test_an_error_of_ours_is_told_and_not_tried_again(tmp_path: Path) -> None:
    outcome, _ = carried_out(tmp_path, "test.broken", {"hold": "typed"})
    assert outcome == Outcome(error="This cannot be Where: here.", retry=False)


def test_the_words_of_a_foreign_error_are_not_told(tmp_path: Path) -> None:
    outcome, _ = carried_out(tmp_path, "test.broken", {"hold": "foreign"})
    assert outcome.error.startswith("ValueError in the job's body")
    assert outcome.retry


def test_a_payload_that_does_not_fit_fails_for_good(tmp_path: Path) -> None:
    outcome, _ = carried_out(tmp_path, "test.staged", {"hold": 3})
    assert not outcome.retry
    assert "does not fit" in outcome.error


def test_a_model_outside_the_roots_fails_for_good(tmp_path: Path) -> None:
    outcome, heard = carried_out(tmp_path, "test.model", {"hold": "/etc"})
    assert not outcome.retry
    assert "cannot be used" in outcome.error
    assert heard == []


def test_progress_is_told_at_once_where_a_stage_begins_or_much_has_changed_and_else_rarely() -> None:
    out, times = io.BytesIO(), iter([0.0, 0.01, 0.02, 0.03, 0.04, 0.2])
    channel = Channel(out, lambda: next(times))
    for told in (
        Told(0.1, "a 1/9"),
        Told(0.101, "a 2/9"),
        Told(0.2),
        Told(0.2, "b"),
        Told(0.201, "b"),
        Told(0.202, "b"),
    ):
        channel(told)
    lines = [msgspec.json.decode(line, type=Told).fraction for line in out.getvalue().splitlines()]
    assert lines == [0.1, 0.2, 0.2, 0.202]
