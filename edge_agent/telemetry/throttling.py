"""Whether the platform itself slows the processor down because of heat, and at which temperature it begins to.

A cap that an owner or a power saver set is not heat: only what the thermal side of the system says is read. Linux only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edge_agent.telemetry.files import entries, read_int, read_text

_THERMAL: Final = "sys/class/thermal"
_COUNT: Final = "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
_PI_FLAGS: Final = "sys/devices/platform/soc/soc:firmware/get_throttled"
_PI_HOT: Final = 0b1100
"""Raspberry Pi: bit 2 is throttled now, bit 3 is the soft temperature limit; bits 0 and 1 are voltage and a cap."""
_COOLERS: Final = ("Processor", "thermal-cpufreq", "cpufreq")
_CPU_ZONES: Final = ("x86_pkg_temp", "cpu", "soc", "acpitz", "mtktscpu", "tsens")
_PLAUSIBLE_C: Final = (35.0, 125.0)


class Throttling:
    """Reads below `root`, which is `/` but for tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._count = read_int(root / _COUNT)

    def read(self) -> bool | None:
        """True while the processor is held back because of heat; None where the platform does not say."""
        said = [answer for answer in (self._cooled(), self._flagged(), self._counted()) if answer is not None]
        return any(said) if said else None

    def throttle_c(self) -> float | None:
        """The lowest temperature at which the platform's own zones of the processor begin to slow it down."""
        found = [
            degrees
            for zone in entries(self._root / _THERMAL, "thermal_zone*")
            if (read_text(zone / "type") or "").lower().startswith(_CPU_ZONES)
            for trip in entries(zone, "trip_point_*_type")
            if read_text(trip) == "passive"
            if (degrees := _degrees(trip.with_name(trip.name.replace("_type", "_temp")))) is not None
        ]
        return min(found, default=None)

    def _cooled(self) -> bool | None:
        """Cooling devices of the processor that are at work."""
        states = [
            state
            for device in entries(self._root / _THERMAL, "cooling_device*")
            if (read_text(device / "type") or "").startswith(_COOLERS)
            if (state := read_int(device / "cur_state")) is not None
        ]
        return any(state > 0 for state in states) if states else None

    def _flagged(self) -> bool | None:
        flags = read_int(self._root / _PI_FLAGS, base=16)
        return None if flags is None else bool(flags & _PI_HOT)

    def _counted(self) -> bool | None:
        """The count of throttle events has risen since the last reading."""
        before, self._count = self._count, read_int(self._root / _COUNT)
        return None if before is None or self._count is None else self._count > before


def _degrees(path: Path) -> float | None:
    thousandths = read_int(path)
    if thousandths is None or not _PLAUSIBLE_C[0] <= thousandths / 1000 <= _PLAUSIBLE_C[1]:
        return None
    return thousandths / 1000
