"""Vitals of this machine and of made-up ones: load of others, flat values, nothing invented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.telemetry.energy import Energy
from edge_agent.telemetry.files import parse_int, read_int, read_text
from edge_agent.telemetry.load import Busy, Load, LoadMeter, load_between
from edge_agent.telemetry.pressure import Stalls
from edge_agent.telemetry.vitals import Vitals, VitalsSource
from edgewise.wire.limits import TELEMETRY_VALUES_MAX
from tests.factories.clock import ManualClock

SECONDS = st.floats(0, 1e6)


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.floats(-5, 100), st.integers(1, 64))
def test_the_load_is_within_the_cores(
    all_before: float, all_now: float, own_before: float, own_now: float, passed_s: float, cores: int
) -> None:
    load = load_between(Busy(0.0, all_before, own_before), Busy(passed_s, all_now, own_now), cores)
    assert (load is None) == (passed_s <= 0)
    assert load is None or (0 <= load.own_cores <= cores and 0 <= load.others_cores <= cores)


def test_others_are_all_but_us() -> None:
    assert load_between(Busy(0.0, 100.0, 10.0), Busy(10.0, 130.0, 25.0), 4) == Load(4, 1.5, 1.5)


def test_a_meter_asked_too_soon_repeats_itself() -> None:
    clock = ManualClock()
    readings: Iterator[Busy | None] = iter((Busy(clock(), 0.0, 0.0), Busy(clock() + 1.0, 2.0, 1.0), None, None))
    meter = LoadMeter(clock, lambda at_s: next(readings))
    assert meter.read() is None
    clock.jump(1.0)
    first = meter.read()
    clock.jump(0.4)
    assert first is not None and (first.own_cores, first.others_cores) == (1.0, 1.0) and meter.read() == first
    clock.jump(1.0)
    assert meter.read() is None and meter.read() is None


def test_this_machine_says_what_it_knows() -> None:
    clock = ManualClock()
    source = VitalsSource(clock)
    clock.jump(1.0)
    vitals = source.read()
    assert vitals.memory_total_bytes and 0 < (vitals.memory_available_bytes or 0) <= vitals.memory_total_bytes
    assert vitals.energy is not None and vitals.energy.source in {"rapl", "battery", "model"}
    assert {"memory.available_bytes", "energy.source"} <= set(vitals.values())


def test_a_control_group_is_the_room_there_is(tmp_path: Path) -> None:
    for name, text in (
        ("proc/self/cgroup", "0::/\n"),
        ("sys/fs/cgroup/memory.max", "1000000\n"),
        ("sys/fs/cgroup/memory.current", "400000\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    vitals = VitalsSource(ManualClock(), root=tmp_path).read()
    assert (vitals.memory_total_bytes, vitals.memory_available_bytes) == (1_000_000, 600_000)


def test_what_is_unknown_has_no_value() -> None:
    assert Vitals().values() == {}
    full = Vitals(
        memory_total_bytes=2,
        memory_available_bytes=1,
        stalls=Stalls(1.0, 0.0),
        throttled=True,
        load=Load(4, 1.23456, 0.0),
        energy=Energy(1.0, 2.0, "rapl"),
    ).values()
    assert full == {
        "memory.available_bytes": 1,
        "memory.some_pct": 1.0,
        "memory.full_pct": 0.0,
        "cpu.throttled": True,
        "cpu.own_cores": 1.235,
        "cpu.others_cores": 0.0,
        "energy.joules": 1.0,
        "energy.watts": 2.0,
        "energy.source": "rapl",
    }
    assert len(full) + 10 < TELEMETRY_VALUES_MAX


@given(st.text(max_size=40))
def test_numbers_are_read_or_not(text: str) -> None:
    number = parse_int(text)
    assert number is None or (len(text) <= 20 and number == int(text))


def test_files_that_cannot_be_read_are_nothing(tmp_path: Path) -> None:
    assert read_text(tmp_path) is None and read_int(tmp_path / "none") is None
    (tmp_path / "bytes").write_bytes(b"\xff\x00 12")
    assert read_text(tmp_path / "bytes") is not None and read_int(tmp_path / "bytes") is None


@pytest.mark.parametrize("text", ["", " ", "1.5", "1e3", "0x", "--1", "1" * 21])
def test_what_is_no_whole_number_is_none(text: str) -> None:
    assert parse_int(text) is None
