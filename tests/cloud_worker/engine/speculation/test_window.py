"""Windows: where they start, the rule over the last 20 drafted tokens, its hysteresis, scenes judged anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.engine.speculation.scenes import Scene, scene_of_share, scene_of_task
from cloud_worker.engine.speculation.window import JUDGED_TOKENS, REJUDGED_EVERY, Window


@pytest.mark.parametrize(
    ("task", "shortest", "longest"),
    [("greeting", 6, 8), ("factual", 4, 5), ("creative", 2, 3), ("code", 5, 6), ("tool", 5, 6), ("other", 4, 5)],
)
def test_a_window_starts_by_its_scene(task: str, shortest: int, longest: int) -> None:
    assert shortest <= Window(scene_of_task(task)).size <= longest


def test_an_unknown_task_starts_in_the_middle() -> None:
    assert Window(scene_of_task("sonnet")).size == Window().size == 4


@pytest.mark.parametrize(
    ("held", "size"), [(17, 5), (16, 4), (12, 4), (10, 4), (9, 3)], ids=["0.85", "0.8", "0.6", "0.5", "0.45"]
)
def test_the_last_20_drafted_tokens_decide(held: int, size: int) -> None:
    window = Window(Scene.FACTUAL)
    window.observe(held, held, 0)
    window.observe(19 - held, 0, 0)
    assert window.size == 4, "19 say nothing yet"
    window.observe(1, 0, 0)
    assert window.size == size


def test_after_a_change_the_tokens_are_counted_anew() -> None:
    window = Window(Scene.FACTUAL)
    window.observe(20, 20, 0)
    for _ in range(19):
        window.observe(1, 1, 0)
    assert window.size == 5
    window.observe(1, 1, 0)
    assert window.size == 6


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=200))
def test_a_window_stays_in_its_bounds_and_moves_by_one_or_into_its_scene(steps: list[tuple[int, int]]) -> None:
    window = Window()
    for drafted, wish in steps:
        before, held = window.size, min(wish, drafted)
        window.observe(drafted, held, held + 1)
        assert 2 <= window.size <= 8
        assert abs(window.size - before) <= 1 or window.size in (window.scene.shortest, window.scene.longest)


@pytest.mark.parametrize(
    ("held", "word"), [(1.0, "greeting"), (0.8, "greeting"), (0.7, "code"), (0.6, "factual"), (0.4, "creative")]
)
def test_a_scene_is_judged_from_what_held(held: float, word: str) -> None:
    assert scene_of_share(held).word == word


def test_after_50_tokens_the_window_is_brought_into_the_scene_that_showed() -> None:
    window = Window(Scene.CREATIVE)
    for _ in range(14):
        window.observe(4, 3, 4)
    assert window.scene is Scene.CODE and window.size == 5, "0.75 moves no window by the rule of the 20"


def test_without_drafts_the_scene_stays() -> None:
    window = Window(Scene.GREETING)
    for _ in range(REJUDGED_EVERY * 3):
        window.observe(0, 0, 1)
    assert window.scene is Scene.GREETING and window.size == 7 and JUDGED_TOKENS == 20
