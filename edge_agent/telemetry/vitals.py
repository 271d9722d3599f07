"""Vitals: what the ladder and telemetry know of the device beyond the facts that policies read.

One reading of memory, stalls, throttling, load and energy; each is absent where the platform does not tell it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from edge_agent.telemetry.energy import Energy, EnergyMeter, PowerModel
from edge_agent.telemetry.load import Load, LoadMeter
from edge_agent.telemetry.pressure import MemoryPressure, Stalls
from edge_agent.telemetry.throttling import Throttling

VitalValue = bool | float | int | str
_UNKNOWN = Stalls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """One reading. `memory_total_bytes` and `memory_available_bytes` are within this process's control groups."""

    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    stalls: Stalls = _UNKNOWN
    throttled: bool | None = None
    load: Load | None = None
    energy: Energy | None = None

    def values(self) -> dict[str, VitalValue]:
        """Flat values for a telemetry record, the unknown ones left out."""
        found: dict[str, VitalValue | None] = {
            "memory.available_bytes": self.memory_available_bytes,
            "memory.some_pct": self.stalls.some_pct,
            "memory.full_pct": self.stalls.full_pct,
            "cpu.throttled": self.throttled,
        }
        if self.load is not None:
            found |= {
                "cpu.own_cores": round(self.load.own_cores, 3),
                "cpu.others_cores": round(self.load.others_cores, 3),
            }
        if self.energy is not None:
            found |= {"energy.joules": round(self.energy.joules, 3), "energy.watts": round(self.energy.watts, 3)}
            found["energy.source"] = self.energy.source
        return {name: value for name, value in found.items() if value is not None}


class VitalsSource:
    """Reads this machine. Quick, and never raises. `clock` is monotonic seconds; `root` is `/` but for tests."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        power: PowerModel | None = None,
        root: Path = Path("/"),
    ) -> None:
        self._pressure = MemoryPressure(root)
        self._throttling = Throttling(root)
        self._load = LoadMeter(clock)
        self._energy = EnergyMeter(clock, power, root)
        self.throttle_c = self._throttling.throttle_c()

    def read(self) -> Vitals:
        """Everything once; load and power are means since the last reading."""
        memory, room, load = psutil.virtual_memory(), self._pressure.room(), self._load.read()
        total, available = int(memory.total), int(memory.available)
        if room is not None:
            total, available = min(total, room.limit_bytes), min(available, room.left_bytes)
        return Vitals(
            memory_total_bytes=total,
            memory_available_bytes=available,
            stalls=self._pressure.stalls(),
            throttled=self._throttling.read(),
            load=load,
            energy=self._energy.read(None if load is None else load.own_cores + load.others_cores),
        )
