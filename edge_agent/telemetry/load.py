"""How many cores other processes keep busy: all the machine's work less our own, since the last reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

INTERVAL_S: Final = 0.5
"""Processor times are counted in ticks of 10 ms: a shorter interval would be mostly rounding."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Processor seconds so far, of the whole machine and of this process with the children that it has waited for."""

    at_s: float
    all_s: float
    own_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """Cores of the machine, and how many of them are kept busy: by this process, and by all others."""

    cores: int
    own_cores: float
    others_cores: float


def load_between(before: Busy, now: Busy, cores: int) -> Load | None:
    """The load between two readings, within 0 and `cores`; None where no time has passed."""
    passed_s = now.at_s - before.at_s
    if passed_s <= 0 or cores < 1:
        return None
    own_s = max(0.0, now.own_s - before.own_s)
    all_s = max(0.0, now.all_s - before.all_s)
    return Load(cores, min(cores, own_s / passed_s), min(cores, max(0.0, all_s - own_s) / passed_s))


class LoadMeter:
    """Readings by psutil. Where it is asked again within half a second it says what it said before."""

    def __init__(self, clock: Callable[[], float], busy: Callable[[float], Busy | None] | None = None) -> None:
        self._clock = clock
        self._busy = busy or read_busy
        self._cores = psutil.cpu_count() or 1
        self._before = self._busy(clock())
        self._last: Load | None = None

    def read(self) -> Load | None:
        """The load since the last reading; None where it is unknown."""
        now_s = self._clock()
        if self._before is not None and now_s - self._before.at_s < INTERVAL_S:
            return self._last
        before, self._before = self._before, self._busy(now_s)
        known = before is not None and self._before is not None
        self._last = load_between(before, self._before, self._cores) if known else None  # type: ignore[arg-type]
        return self._last


def read_busy(at_s: float) -> Busy | None:
    """What psutil counts; time that a host gives to its other guests (steal) is others' work too."""
    try:
        times: Any = psutil.cpu_times()
        own: Any = psutil.Process().cpu_times()
    except (OSError, psutil.Error):
        return None
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    twice_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user and nice already
    return Busy(at_s, sum(times) - twice_s - idle_s, own.user + own.system)
