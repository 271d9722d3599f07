"""Where the device's facts come from: psutil, and a JSON file that an operator or a test writes. A sensor that is
missing is an absent fact, never an invented one. Names, types and units are those of policies/facts.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import psutil  # type: ignore[import-untyped]

from policies import FACTS, FactType, FactValue

LOAD_INTERVAL_S = 0.5
logger = logging.getLogger(__name__)

DeviceFacts = dict[str, FactValue]

SENSOR_FACTS: Final = tuple(
    f"device.{name}" for name in ("battery_pct", "charging", "cpu_temp_c", "memory_pct", "cpu_pct", "link", "rtt_ms")
)
"""What a facts file may set; the rest (id, model version, queue) is for the agent to say."""

_CPU_SENSORS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "acpitz")
_LINK_PREFIXES: Final = {
    "wl": "wifi",
    "wwan": "cellular",
    "rmnet": "cellular",
    "ppp": "cellular",
    "en": "ethernet",
    "eth": "ethernet",
}


class DeviceSource(Protocol):
    """Something that can be asked for facts of the device, quickly and without raising."""

    def read(self) -> DeviceFacts: ...


class PsutilSensors:
    """Memory, battery and temperature alone: what may be read every second without disturbing any other reading."""

    def read(self) -> DeviceFacts:
        return sensor_facts()


class PsutilSource:
    """The sensors that psutil finds on this machine. Processor load is a mean since the last reading, so it is absent
    from one that comes within `LOAD_INTERVAL_S` of it. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._load_read_at = clock()
        psutil.cpu_percent(interval=None)

    def read(self) -> DeviceFacts:
        return sensor_facts() | self._load() | _link()

    def _load(self) -> DeviceFacts:
        if self._clock() - self._load_read_at < LOAD_INTERVAL_S:
            return {}
        self._load_read_at = self._clock()
        return {"device.cpu_pct": float(psutil.cpu_percent(interval=None))}


def sensor_facts() -> DeviceFacts:
    """Memory in use, and what battery and temperature sensors there are."""
    facts: DeviceFacts = {"device.memory_pct": float(psutil.virtual_memory().percent)}
    return facts | _battery() | _temperature()


def _ask(function: str) -> Any:
    """Call a psutil function that some systems lack; None where it is absent or its files are unreadable."""
    try:
        return getattr(psutil, function)()
    except (AttributeError, OSError, RuntimeError, ValueError):
        return None


def _battery() -> DeviceFacts:
    battery = _ask("sensors_battery")
    if battery is None:
        return {}
    facts: DeviceFacts = {"device.battery_pct": float(battery.percent)}
    return facts if battery.power_plugged is None else facts | {"device.charging": bool(battery.power_plugged)}


def _temperature() -> DeviceFacts:
    """The hottest reading of the first processor sensor that is known by name."""
    sensors = _ask("sensors_temperatures") or {}
    for name in _CPU_SENSORS:
        readings = [float(entry.current) for entry in sensors.get(name, ()) if entry.current]
        if readings:
            return {"device.cpu_temp_c": max(readings)}
    return {}


def _link() -> DeviceFacts:
    stats = _ask("net_if_stats")
    return {} if stats is None else {"device.link": link_kind(name for name, entry in stats.items() if entry.isup)}


def link_kind(interfaces: Iterable[str]) -> str:
    """The link behind the interfaces that are up: the cheapest known kind, `unknown`, or `none`."""
    outward = [name for name in interfaces if not name.startswith("lo")]
    if not outward:
        return "none"
    kinds = {kind for name in outward for prefix, kind in _LINK_PREFIXES.items() if name.startswith(prefix)}
    return next((kind for kind in ("ethernet", "wifi", "cellular") if kind in kinds), "unknown")


class FactsFile:
    """A JSON object of facts that stand over the measured ones, read again when the file changes.

    Keys are short (`battery_pct`) or full names; null hides a sensor. A file that does not parse, perhaps because it is
    half written, leaves the last good one in force and is reported once per change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._facts: dict[str, FactValue | None] = {}

    def read(self) -> dict[str, FactValue | None]:
        """The facts of the file as it is now; empty when there is none."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp != self._stamp:
                self._stamp = stamp
                self._facts = parse_facts(self._path.read_bytes())
        except FileNotFoundError:
            self._stamp, self._facts = None, {}
        except (OSError, ValueError) as error:
            logger.warning("device facts file not taken: %s", error, extra={"path": str(self._path)})
        return self._facts


def parse_facts(raw: bytes) -> dict[str, FactValue | None]:
    """Check an operator's facts by the table. Raises ValueError naming the entry at fault."""
    try:
        given = msgspec.json.decode(raw, type=dict[str, bool | int | float | str | None])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"expected a JSON object of facts: {error}") from error
    return {name: _checked(name, value) for name, value in map(_full_name, given.items())}


def _full_name(item: tuple[str, FactValue | None]) -> tuple[str, FactValue | None]:
    name, value = item
    return (name if name.startswith("device.") else f"device.{name}"), value


def _checked(name: str, value: FactValue | None) -> FactValue | None:
    if name not in SENSOR_FACTS:
        raise ValueError(f"{name}: expected one of {', '.join(SENSOR_FACTS)}")
    spec = FACTS[name]
    if value is None:
        return None
    if spec.type is FactType.DOUBLE and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if spec.type is FactType.BOOL and isinstance(value, bool):
        return value
    if spec.type is FactType.ENUM and value in spec.enum:
        return value
    raise ValueError(f"{name}: {value!r} is not a {spec.type}{' of ' + ', '.join(spec.enum) if spec.enum else ''}")


class OverriddenSource:
    """`measured` facts with those of a file over them; a null there takes the fact away."""

    def __init__(self, measured: DeviceSource, read_override: Callable[[], Mapping[str, FactValue | None]]) -> None:
        self._measured = measured
        self._read_override = read_override

    def read(self) -> DeviceFacts:
        merged = {**self._measured.read(), **self._read_override()}
        return {name: value for name, value in merged.items() if value is not None}


class FixedSource:
    """Facts that somebody set; what tests and simulated devices use."""

    def __init__(self, **facts: FactValue) -> None:
        self.facts: DeviceFacts = {f"device.{name}": value for name, value in facts.items()}

    def read(self) -> DeviceFacts:
        return dict(self.facts)
