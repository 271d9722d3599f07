"""Windows of the week."""

from __future__ import annotations

import pytest

from policies.rollout import Window
from policies.rollout.windows import is_open
from tests.policies.rollout.rollouts import START_S

TUESDAY_S = START_S - 8 * 3600


@pytest.mark.parametrize(
    ("window", "at_s", "opened"),
    [
        (Window((1,), 8 * 3600, 9 * 3600), START_S, True),
        (Window((1,), 8 * 3600, 9 * 3600), START_S - 0.5, False),
        (Window((1,), 8 * 3600, 9 * 3600), START_S + 3600, False),
        (Window((0, 2), 0, 86_400), START_S, False),
        (Window((1,), 0, 86_400), TUESDAY_S, True),
        (Window((0,), 0, 86_400), TUESDAY_S - 0.5, True),
        (Window((3,), 0, 1), 0.0, True),  # 1970-01-01 was a Thursday
    ],
)
def test_a_window(window: Window, at_s: float, opened: bool) -> None:
    assert is_open([window], at_s) is opened
    assert is_open([Window((5,), 0, 1), window], at_s) is opened


def test_without_windows_it_is_always_open() -> None:
    assert is_open([], START_S)
