"""LadderWatch: the thin shell around the ladder. Asks the sensors every second, logs and records every switch, and
hands the limits to whoever obeys them: the one interface between the ladder and the runtime.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edge_agent.ladder.facts import LadderFacts
from edge_agent.ladder.ladder import Ladder, Standing
from edge_agent.ladder.limits import Limits
from edge_agent.telemetry.sources import DeviceFacts
from edge_agent.telemetry.vitals import Vitals
from edgewise.wire.frames import TelemetryRecord

LADDER_KIND = "ladder"
INTERVAL_S = 1.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the runtime says of its memory: see `LadderFacts.growth_bytes` and `LadderFacts.freed_bytes`."""

    growth_bytes: int = 0
    freed_bytes: int = 0


def ladder_facts(device: DeviceFacts, vitals: Vitals, needs: Needs) -> LadderFacts:
    """One reading in the ladder's words. What an operator's facts file says of memory counts beside the measured."""
    load = vitals.load
    return LadderFacts(
        memory_total_bytes=vitals.memory_total_bytes,
        memory_available_bytes=_available(_number(device, "memory_pct"), vitals),
        memory_some_pct=vitals.stalls.some_pct,
        memory_full_pct=vitals.stalls.full_pct,
        growth_bytes=needs.growth_bytes,
        freed_bytes=needs.freed_bytes,
        cpu_temp_c=_number(device, "cpu_temp_c"),
        throttled=vitals.throttled,
        battery_pct=_number(device, "battery_pct"),
        charging=None if (charging := device.get("device.charging")) is None else bool(charging),
        cores=load.cores if load else None,
        others_cores=load.others_cores if load else None,
    )


def _available(used_pct: float | None, vitals: Vitals) -> int | None:
    """The smaller of what was measured and what the fact of memory in use leaves."""
    measured, total = vitals.memory_available_bytes, vitals.memory_total_bytes
    if measured is None or total is None or used_pct is None:
        return measured
    return min(measured, int(total * (1 - used_pct / 100)))


def _number(device: DeviceFacts, name: str) -> float | None:
    value = device.get(f"device.{name}")
    return None if value is None or isinstance(value, str) else float(value)


class LadderWatch:
    """Steps a ladder by this device's readings.

    `device` and `vitals` are quick and never raise; `needs` is asked in every step. `obey` gets the limits at the first
    step and whenever they change; it must be quick, and may take effect at the next step of the engine. `record` keeps
    telemetry; `now` is Unix seconds, `clock` monotonic.
    """

    def __init__(
        self,
        ladder: Ladder,
        *,
        device: Callable[[], DeviceFacts],
        vitals: Callable[[], Vitals],
        needs: Callable[[], Needs],
        obey: Callable[[Limits], object],
        record: Callable[[TelemetryRecord], object],
        now: Callable[[], float],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ladder = ladder
        self._device = device
        self._vitals = vitals
        self._needs = needs
        self._obey = obey
        self._record = record
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self.standing: Standing | None = None

    def step(self) -> Standing:
        """One reading, one step."""
        facts = ladder_facts(self._device(), self._vitals(), self._needs())
        before, self.standing = self.standing, self._ladder.step(facts, self._clock())
        for change in self.standing.changes:
            level = logging.WARNING if change.up else logging.INFO
            logger.log(level, "%s: %s → %s, %s", change.ladder, change.before, change.after, change.why)
            self._record(TelemetryRecord(self._now(), LADDER_KIND, dict(change.values())))
        if before is None or before.limits != self.standing.limits:
            self._obey(self.standing.limits)
        return self.standing

    async def run(self) -> None:
        """Step every second until cancelled."""
        while True:
            self.step()
            await self._sleep(INTERVAL_S)
