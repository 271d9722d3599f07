"""Stages are done once, progress runs over all of them, and rates count from where an attempt began."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cloud_worker.forge.jobs.claim import MESSAGE_MAX_CHARS, Told
from cloud_worker.forge.jobs.stages import Meter, Stages


class Found(msgspec.Struct):
    n: int


def quiet(stage: str, done: float, total: float, message: str = "") -> None:
    """Progress that nobody hears."""


def test_a_stage_is_done_once_however_often_the_job_is_tried(tmp_path: Path) -> None:
    done: list[int] = []

    def work() -> Found:
        done.append(1)
        return Found(7)

    assert [Stages(tmp_path, quiet).once("a", Found, work) for _ in range(3)] == [Found(7)] * 3
    assert done == [1]


def test_a_stage_that_broke_is_done_again(tmp_path: Path) -> None:
    def breaks() -> Found:
        raise ValueError

    with pytest.raises(ValueError):
        Stages(tmp_path, quiet).once("a", Found, breaks)
    assert Stages(tmp_path, quiet).once("a", Found, lambda: Found(1)) == Found(1)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"n": "x"}', b"\xff"])
def test_a_damaged_note_means_that_the_stage_is_done_again(tmp_path: Path, damage: bytes) -> None:
    Stages(tmp_path, quiet).once("a", Found, lambda: Found(1))
    (tmp_path / "stages" / "a.json").write_bytes(damage)
    assert Stages(tmp_path, quiet).once("a", Found, lambda: Found(2)) == Found(2)


def test_progress_is_a_share_of_all_stages() -> None:
    heard: list[Told] = []
    clock = iter([0.0, 0.0, 2.0, 5.0, 5.0, 5.0, 5.0])
    meter = Meter({"a": 1, "b": 3}, heard.append, lambda: next(clock))
    meter("a", 10, 40)
    meter("a", 20, 40, "known phrasings")
    meter("b", 0, 1)
    meter("b", 5, 4)
    assert [told.fraction for told in heard] == [0.0625, 0.125, 0.25, 1.0]
    assert [told.message for told in heard] == ["a 10/40", "a 20/40 · 5.0/s · known phrasings", "b", "b 5/4"]


def test_words_that_are_too_long_are_cut_and_an_empty_stage_counts_nothing() -> None:
    heard: list[Told] = []
    meter = Meter({"a": 1}, heard.append, lambda: 0.0)
    meter("a", 0, 0, "长" * 500)
    assert heard[0].fraction == 0.0
    assert len(heard[0].message) == MESSAGE_MAX_CHARS
