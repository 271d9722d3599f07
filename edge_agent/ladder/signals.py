"""From facts to the signals that the ladders go by: margins, slopes and forecasts. A signal whose facts are unknown is
left out. The trends are the only state; times are given.
"""

from __future__ import annotations

import math
from typing import Final

from edge_agent.ladder.climb import Signal
from edge_agent.ladder.facts import LadderFacts
from edge_agent.ladder.trend import Trend

Signals = dict[str, float]

SPARE: Final = Signal("spare_pct", "spare memory", "%")
SPARE_SOON: Final = Signal("spare_soon_pct", "spare memory soon", "%")
SPARE_BACK: Final = Signal("spare_back_pct", "spare memory with all that was given up", "%")
STALLED: Final = Signal("memory_some_pct", "work waiting for memory", "% of the time")
STALLED_FULL: Final = Signal("memory_full_pct", "all work waiting for memory", "% of the time")
HEADROOM: Final = Signal("headroom_c", "below the throttle temperature by", "°C")
TIME_TO_HOT: Final = Signal("time_to_hot_s", "throttling in", "s")
THROTTLED: Final = Signal("throttled_s", "throttled for", "s")
BATTERY: Final = Signal("battery_pct", "battery at", "%")
OTHERS: Final = Signal("others_pct", "other processes take", "% of the cores")

COUNTED_BYTES: Final = 8 << 30
"""A machine with more memory than this is judged as if it had so much: what it lacks is bytes, not shares."""
SOON_S: Final = 5.0
FORECAST_WITHIN_C: Final = 20.0
"""Far below the limit a slope says little: temperature follows power towards an end that a line does not know."""
FAR_S: Final = 3600.0
FULL_PCT: Final = 100.0


class MemorySignals:
    """What is left when everything that was taken has grown as it may, now and a moment from now."""

    def __init__(self) -> None:
        self._available = Trend(mean_s=1.0, slope_s=10.0)

    def read(self, facts: LadderFacts, now_s: float) -> Signals:
        signals: Signals = {}
        if facts.memory_some_pct is not None:
            signals[STALLED.name] = facts.memory_some_pct
        if facts.memory_full_pct is not None:
            signals[STALLED_FULL.name] = facts.memory_full_pct
        if facts.memory_available_bytes is None or not facts.memory_total_bytes:
            return signals
        counted = min(facts.memory_total_bytes, COUNTED_BYTES)
        left = facts.memory_available_bytes - facts.growth_bytes
        self._available.add(facts.memory_available_bytes, now_s)
        falling = min(0.0, self._available.slope) * SOON_S
        margins = {SPARE: left, SPARE_SOON: left + falling, SPARE_BACK: left - facts.freed_bytes}
        return signals | {signal.name: FULL_PCT * margin / counted for signal, margin in margins.items()}


class HeatSignals:
    """How far and how long it is to the throttle temperature, and how long the platform has been throttling."""

    def __init__(self, throttle_c: float) -> None:
        self._throttle_c = throttle_c
        self._temperature = Trend(mean_s=10.0, slope_s=30.0)
        self._throttled_since_s: float | None = None

    def read(self, facts: LadderFacts, now_s: float) -> Signals:
        signals: Signals = {}
        if facts.throttled is not None:
            signals[THROTTLED.name] = self._throttled_for_s(facts.throttled, now_s)
        if facts.cpu_temp_c is None or not math.isfinite(facts.cpu_temp_c):
            return signals
        self._temperature.add(facts.cpu_temp_c, now_s)
        headroom_c = self._throttle_c - self._temperature.mean
        return signals | {HEADROOM.name: headroom_c, TIME_TO_HOT.name: self._time_to_hot_s(headroom_c)}

    def _time_to_hot_s(self, headroom_c: float) -> float:
        """Where the line of the last half minute meets the throttle temperature; at most an hour."""
        if headroom_c <= 0:
            return 0.0
        slope = self._temperature.slope
        if headroom_c > FORECAST_WITHIN_C or slope * FAR_S <= headroom_c:
            return FAR_S
        return headroom_c / slope

    def _throttled_for_s(self, throttled: bool, now_s: float) -> float:
        """0 when it is not; from 1 on when it is, so that a first reading counts."""
        if not throttled:
            self._throttled_since_s = None
            return 0.0
        if self._throttled_since_s is None:
            self._throttled_since_s = now_s
        return 1.0 + now_s - self._throttled_since_s


class BatterySignals:
    """The charge; on external power a battery counts as full."""

    def read(self, facts: LadderFacts, now_s: float) -> Signals:
        if facts.charging:
            return {BATTERY.name: FULL_PCT}
        return {} if facts.battery_pct is None else {BATTERY.name: facts.battery_pct}


class ContentionSignals:
    """The share of the cores that other processes keep busy, smoothed: a page that opens is no load."""

    def __init__(self) -> None:
        self._others = Trend(mean_s=10.0, slope_s=10.0)

    def read(self, facts: LadderFacts, now_s: float) -> Signals:
        if facts.others_cores is None or not math.isfinite(facts.others_cores) or not facts.cores:
            return {}
        self._others.add(FULL_PCT * facts.others_cores / facts.cores, now_s)
        return {OTHERS.name: self._others.mean}
