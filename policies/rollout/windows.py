"""Whether stages may begin at a moment: windows of the week, in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from policies.rollout.plan import Window

_DAY_S: Final = 86_400
_THURSDAY: Final = 3
"""The weekday of 1970-01-01."""


def is_open(windows: Sequence[Window], at_s: float) -> bool:
    """Whether one of them is open at `at_s`, in seconds since 1970; without any, it is always."""
    day, second = divmod(at_s, _DAY_S)
    weekday = (int(day) + _THURSDAY) % 7
    return not windows or any(w.from_s <= second < w.until_s and weekday in w.days for w in windows)
