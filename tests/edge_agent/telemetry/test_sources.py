"""Device sources: facts fit the table, absent sensors stay absent, and an operator's file stands over them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.telemetry.sources import (
    SENSOR_FACTS,
    FactsFile,
    FixedSource,
    OverriddenSource,
    PsutilSensors,
    PsutilSource,
    link_kind,
    parse_facts,
)
from policies import FACTS, FactType

_PYTHON_TYPES = {FactType.DOUBLE: float, FactType.BOOL: bool, FactType.ENUM: str, FactType.INT: int}


def test_what_this_machine_tells_fits_the_table_of_facts() -> None:
    facts = PsutilSource(iter((0.0, 1.0, 1.0)).__next__).read()
    assert {"device.memory_pct", "device.cpu_pct"} <= set(facts) <= set(SENSOR_FACTS)
    for name, value in facts.items():
        assert type(value) is _PYTHON_TYPES[FACTS[name].type], name
        assert not FACTS[name].enum or value in FACTS[name].enum


def test_the_sensors_alone_tell_neither_load_nor_link() -> None:
    assert set(PsutilSensors().read()) <= set(SENSOR_FACTS) - {"device.cpu_pct", "device.link"}


def test_a_load_over_no_time_at_all_is_not_made_up() -> None:
    assert "device.cpu_pct" not in PsutilSource(lambda: 7.0).read()


@pytest.mark.parametrize(
    ("up", "kind"),
    [
        (["lo"], "none"),
        ([], "none"),
        (["lo", "wlan0"], "wifi"),
        (["wlp3s0", "enp0s31f6"], "ethernet"),
        (["wwan0"], "cellular"),
        (["rmnet_data0", "wlan0"], "wifi"),
        (["tun0"], "unknown"),
    ],
)
def test_the_link_is_told_by_the_interfaces_that_are_up(up: list[str], kind: str) -> None:
    assert link_kind(up) == kind and kind in FACTS["device.link"].enum


def test_a_file_stands_over_the_sensors_and_null_hides_one(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text('{"battery_pct": 15, "device.cpu_temp_c": null, "charging": false}')
    source = OverriddenSource(FixedSource(battery_pct=80.0, cpu_temp_c=40.0, link="wifi"), FactsFile(path).read)
    assert source.read() == {"device.battery_pct": 15.0, "device.charging": False, "device.link": "wifi"}


def test_the_file_is_read_again_when_it_changes_and_may_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    file = FactsFile(path)
    assert file.read() == {}
    for step, level in enumerate((15, 90)):
        path.write_text(f'{{"battery_pct": {level}}}')
        os.utime(path, ns=(step, step))
        assert file.read() == {"device.battery_pct": float(level)}
    path.unlink()
    assert file.read() == {}


def test_a_half_written_file_leaves_the_last_good_one_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "facts.json"
    path.write_text('{"battery_pct": 15}')
    file = FactsFile(path)
    file.read()
    path.write_text('{"battery_pct": 1')
    assert file.read() == file.read() == {"device.battery_pct": 15.0}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"{",
        b'{"battery": 5}',
        b'{"battery_pct": "low"}',
        b'{"battery_pct": true}',
        b'{"link": "carrier pigeon"}',
        b'{"charging": 1}',
        b'{"model_version": "x"}',
    ],
)
def test_an_unfit_entry_is_named(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected|is not a"):
        parse_facts(raw)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_file_raise_anything_else(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse_facts(raw)
