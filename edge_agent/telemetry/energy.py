"""What the device draws: from the processor's own counters (RAPL), from the battery's current, else from a model.

The source is always told with the figure. RAPL sees the processor packages, a battery the whole device, the model
what its two numbers say: figures of different sources are not to be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge_agent.telemetry.files import entries, read_int, read_text

EnergySource = Literal["rapl", "battery", "model"]
INTERVAL_S: Final = 0.5
_MICRO: Final = 1e-6
_WATTS_MAX: Final = 10_000.0
"""Beyond this a reading is a broken gauge."""


@dataclass(frozen=True, slots=True)
class PowerModel:
    """Watts of a device at rest, and what each busy core adds. The defaults are a small board with a phone's cores."""

    idle_w: float = 1.5
    core_w: float = 1.5

    def watts(self, busy_cores: float) -> float:
        return self.idle_w + self.core_w * max(0.0, busy_cores)


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules since the meter began, watts since its last reading, and who says so."""

    joules: float
    watts: float
    source: EnergySource


def counted_uj(before: int, now: int, range_uj: int | None) -> int | None:
    """Microjoules between two readings of a counter that wraps at `range_uj`; None where that cannot be told."""
    if now >= before:
        return now - before
    if range_uj is None or before > range_uj:
        return None
    return range_uj - before + now


def discharge_w(power_uw: int | None, current_ua: int | None, voltage_uv: int | None) -> float | None:
    """Watts that leave a battery, from its power, else current × voltage. Drivers differ in the sign: it is dropped."""
    if power_uw is not None:
        watts = abs(power_uw) * _MICRO
    elif current_ua is not None and voltage_uv is not None:
        watts = abs(current_ua * _MICRO) * abs(voltage_uv * _MICRO)
    else:
        return None
    return watts if 0.0 < watts <= _WATTS_MAX else None


class EnergyMeter:
    """Asks the best source there is at each reading. `clock` is monotonic seconds; `root` is `/` but for tests."""

    def __init__(self, clock: Callable[[], float], model: PowerModel | None = None, root: Path = Path("/")) -> None:
        self._clock = clock
        self._model = model or PowerModel()
        self._powercap = root / "sys/class/powercap"
        self._supplies = root / "sys/class/power_supply"
        self._counters = self._read_counters()
        self._read_at_s = clock()
        self._joules = 0.0
        self._last = self._first()

    def read(self, busy_cores: float | None = None) -> Energy:
        """What was drawn since the last reading; asked again within half a second it says the same, and at first none.

        `busy_cores`, of all processes, is for the model only.
        """
        now_s = self._clock()
        passed_s = now_s - self._read_at_s
        if passed_s < INTERVAL_S:
            return self._last
        self._read_at_s = now_s
        watts, source = self._watts(passed_s, busy_cores or 0.0)
        self._joules += watts * passed_s
        self._last = Energy(self._joules, watts, source)
        return self._last

    def _first(self) -> Energy:
        """Nothing drawn yet; a processor's counter tells no power before its second reading."""
        battery = self._battery_w()
        if self._counters:
            return Energy(0.0, 0.0, "rapl")
        return Energy(0.0, self._model.watts(0.0), "model") if battery is None else Energy(0.0, battery, "battery")

    def _watts(self, passed_s: float, busy_cores: float) -> tuple[float, EnergySource]:
        packages = self._package_w(passed_s)
        if packages is not None:
            return packages, "rapl"
        battery = self._battery_w()
        return (battery, "battery") if battery is not None else (self._model.watts(busy_cores), "model")

    def _package_w(self, passed_s: float) -> float | None:
        """The sum over packages; None where a counter is missing or made no sense."""
        before, self._counters = self._counters, self._read_counters()
        if not self._counters or before.keys() != self._counters.keys():
            return None
        drawn = [
            counted_uj(before[zone], now, read_int(zone / "max_energy_range_uj"))
            for zone, now in self._counters.items()
        ]
        if any(each is None for each in drawn):
            return None
        watts = sum(each for each in drawn if each is not None) * _MICRO / passed_s
        return watts if math.isfinite(watts) and watts <= _WATTS_MAX else None

    def _read_counters(self) -> dict[Path, int]:
        """The packages' counters. Their parts (core, dram) and second ways to the same counter (mmio) are left out."""
        zones = entries(self._powercap, "intel-rapl:*")
        packages = [zone for zone in zones if (read_text(zone / "name") or "").startswith("package")]
        read = {zone: read_int(zone / "energy_uj") for zone in packages}
        return {zone: value for zone, value in read.items() if value is not None and value >= 0}

    def _battery_w(self) -> float | None:
        """The sum over batteries that are discharging: what a charging one takes says nothing of the device."""
        drawn = [
            discharge_w(*(read_int(supply / name) for name in ("power_now", "current_now", "voltage_now")))
            for supply in entries(self._supplies, "*")
            if read_text(supply / "type") == "Battery" and read_text(supply / "status") == "Discharging"
        ]
        known = [watts for watts in drawn if watts is not None]
        return sum(known) if known else None
