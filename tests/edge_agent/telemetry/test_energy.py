"""Energy: counters that wrap, batteries in two dialects, and a model that says that it is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.telemetry.energy import Energy, EnergyMeter, PowerModel, counted_uj, discharge_w
from tests.factories.clock import ManualClock

CAP = "sys/class/powercap"
SUPPLY = "sys/class/power_supply"
ANY = st.none() | st.integers(-(2**63), 2**63)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def package(root: Path, zone: str, name: str, microjoules: int, range_uj: int = 1_000_000_000) -> None:
    write(root, f"{CAP}/{zone}/name", f"{name}\n")
    write(root, f"{CAP}/{zone}/energy_uj", f"{microjoules}\n")
    write(root, f"{CAP}/{zone}/max_energy_range_uj", f"{range_uj}\n")


@given(st.integers(1, 2**50), st.integers(0, 2**50), st.integers(0, 2**49))
def test_a_counter_may_wrap_once(range_uj: int, start: int, drawn: int) -> None:
    start, drawn = start % range_uj, drawn % range_uj
    assert counted_uj(start, (start + drawn) % range_uj, range_uj) == drawn


def test_a_counter_that_fell_without_a_known_end_says_nothing() -> None:
    assert counted_uj(5, 3, None) is None and counted_uj(50, 3, 10) is None


@pytest.mark.parametrize(
    ("power_uw", "current_ua", "voltage_uv", "watts"),
    [
        (2_500_000, None, None, 2.5),
        (-2_500_000, 1, 1, 2.5),
        (None, 500_000, 4_000_000, 2.0),
        (None, -500_000, 4_000_000, 2.0),
        (None, 500_000, None, None),
        (0, None, None, None),
        (10**14, None, None, None),
    ],
)
def test_a_battery_tells_power_or_current(
    power_uw: int | None, current_ua: int | None, voltage_uv: int | None, watts: float | None
) -> None:
    assert discharge_w(power_uw, current_ua, voltage_uv) == (None if watts is None else pytest.approx(watts))


@given(ANY, ANY, ANY)
def test_no_gauge_gives_a_senseless_power(power_uw: int | None, current_ua: int | None, voltage_uv: int | None) -> None:
    watts = discharge_w(power_uw, current_ua, voltage_uv)
    assert watts is None or 0.0 < watts <= 10_000.0


def test_packages_are_summed_and_their_parts_left_out(tmp_path: Path) -> None:
    clock = ManualClock()
    package(tmp_path, "intel-rapl:0", "package-0", 990_000_000)
    package(tmp_path, "intel-rapl:1", "package-1", 0)
    package(tmp_path, "intel-rapl:0:0", "core", 0)
    package(tmp_path, "intel-rapl:2", "psys", 0)
    package(tmp_path, "intel-rapl-mmio:0", "package-0", 0)
    meter = EnergyMeter(clock, root=tmp_path)
    clock.jump(0.4)
    assert meter.read() == Energy(0.0, 0.0, "rapl")  # too soon: a tick of the counter would be kilowatts
    clock.jump(1.6)
    package(tmp_path, "intel-rapl:0", "package-0", 10_000_000)  # it wrapped
    package(tmp_path, "intel-rapl:1", "package-1", 4_000_000)
    package(tmp_path, "intel-rapl:0:0", "core", 9_000_000)
    package(tmp_path, "intel-rapl:2", "psys", 50_000_000)
    package(tmp_path, "intel-rapl-mmio:0", "package-0", 20_000_000)
    assert meter.read() == Energy(pytest.approx(24.0), pytest.approx(12.0), "rapl")  # type: ignore[arg-type]
    assert meter.read() == Energy(pytest.approx(24.0), pytest.approx(12.0), "rapl")  # type: ignore[arg-type]


def test_a_battery_counts_while_it_is_discharging(tmp_path: Path) -> None:
    clock = ManualClock()
    meter = EnergyMeter(clock, PowerModel(1.0, 2.0), tmp_path)
    for name, text in (("type", "Battery"), ("status", "Discharging"), ("power_now", "3000000")):
        write(tmp_path, f"{SUPPLY}/BAT0/{name}", text)
    write(tmp_path, f"{SUPPLY}/AC/type", "Mains")
    clock.jump(10.0)
    assert meter.read(1.0) == Energy(pytest.approx(30.0), pytest.approx(3.0), "battery")  # type: ignore[arg-type]
    write(tmp_path, f"{SUPPLY}/BAT0/status", "Charging")
    clock.jump(1.0)
    assert meter.read(1.0) == Energy(pytest.approx(33.0), pytest.approx(3.0), "model")  # type: ignore[arg-type]


def test_without_a_gauge_a_model_is_asked_and_says_so(tmp_path: Path) -> None:
    clock = ManualClock()
    meter = EnergyMeter(clock, PowerModel(0.5, 1.25), tmp_path)
    assert meter.read() == Energy(0.0, 0.5, "model")
    clock.jump(4.0)
    assert meter.read(2.0) == Energy(12.0, 3.0, "model")


def test_a_counter_that_makes_no_sense_falls_back(tmp_path: Path) -> None:
    clock = ManualClock()
    package(tmp_path, "intel-rapl:0", "package-0", 5)
    meter = EnergyMeter(clock, root=tmp_path)
    for text in ("never", "-3", "9" * 25, "99999999999999999"):
        write(tmp_path, f"{CAP}/intel-rapl:0/energy_uj", text)
        clock.jump(1.0)
        assert meter.read().source == "model"
