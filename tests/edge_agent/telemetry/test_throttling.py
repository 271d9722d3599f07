"""Throttling as platforms tell it: cooling devices, flags, a count of events; and where a zone begins to slow down."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.telemetry.throttling import Throttling

THERMAL = "sys/class/thermal"
COUNT = "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
PI = "sys/devices/platform/soc/soc:firmware/get_throttled"


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_platform_that_says_nothing_is_unknown(tmp_path: Path) -> None:
    assert Throttling(tmp_path).read() is None and Throttling(tmp_path).throttle_c() is None


@pytest.mark.parametrize(
    ("kind", "state", "answer"),
    [
        ("Processor", "0", False),
        ("Processor", "3", True),
        ("thermal-cpufreq-0", "1", True),
        ("cpufreq-cpu0", "2", True),
        ("Fan", "1", None),
        ("pwm-fan", "1", None),
        ("Processor", "?", None),
    ],
)
def test_cooling_devices_of_the_processor_count(tmp_path: Path, kind: str, state: str, answer: bool | None) -> None:
    write(tmp_path, f"{THERMAL}/cooling_device0/type", kind)
    write(tmp_path, f"{THERMAL}/cooling_device0/cur_state", state)
    assert Throttling(tmp_path).read() is answer


@pytest.mark.parametrize(
    ("flags", "answer"),
    [("0", False), ("50000", False), ("0x50005", True), ("8", True), ("1", False), ("2", False), ("hot", None)],
)
def test_a_pi_tells_by_flags_and_old_events_are_over(tmp_path: Path, flags: str, answer: bool | None) -> None:
    write(tmp_path, PI, f"{flags}\n")
    assert Throttling(tmp_path).read() is answer


def test_a_count_that_rises_is_throttling_now(tmp_path: Path) -> None:
    write(tmp_path, COUNT, "7\n")
    throttling = Throttling(tmp_path)
    assert throttling.read() is False
    write(tmp_path, COUNT, "9\n")
    assert [throttling.read(), throttling.read()] == [True, False]
    write(tmp_path, COUNT, "gone")
    assert throttling.read() is None


def test_the_throttle_temperature_is_the_lowest_passive_point_of_the_processor(tmp_path: Path) -> None:
    for zone, kind, trips in (
        (0, "cpu-thermal", (("passive", "80000"), ("active", "50000"), ("critical", "110000"))),
        (1, "cpu-thermal", (("passive", "75000"), ("passive", "1000"))),
        (2, "battery", (("passive", "45000"),)),
    ):
        write(tmp_path, f"{THERMAL}/thermal_zone{zone}/type", kind)
        for index, (point, degrees) in enumerate(trips):
            write(tmp_path, f"{THERMAL}/thermal_zone{zone}/trip_point_{index}_type", point)
            write(tmp_path, f"{THERMAL}/thermal_zone{zone}/trip_point_{index}_temp", degrees)
    assert Throttling(tmp_path).throttle_c() == 75.0
