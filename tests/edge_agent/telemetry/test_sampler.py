"""The sampler under a clock of its own: one record a sample, fresh facts only."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.telemetry.sampler import Sampler
from edge_agent.telemetry.sources import FixedSource
from edgewise.wire.frames import Scalar, TelemetryRecord


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def sampler_of(source: FixedSource, kept: list[TelemetryRecord], clock: Clock) -> Sampler:
    return Sampler(source, kept.append, interval_s=10.0, now=lambda: 5e8 + clock.now, clock=clock, sleep=clock.sleep)


def test_a_sample_is_kept_with_its_time_and_answers_facts() -> None:
    kept: list[TelemetryRecord] = []
    sampler = sampler_of(FixedSource(battery_pct=50.0), kept, Clock())
    assert sampler.facts() == {}
    sampler.sample()
    assert kept == [TelemetryRecord(5e8 + 100, "device", {"device.battery_pct": 50.0})]
    assert sampler.facts() == {"device.battery_pct": 50.0}


def test_facts_grow_stale_each_at_its_own_age() -> None:
    clock = Clock()
    sampler = sampler_of(FixedSource(battery_pct=50.0, cpu_temp_c=60.0), [], clock)
    sampler.sample()
    clock.now += 61
    assert sampler.facts() == {"device.battery_pct": 50.0}
    clock.now += 300
    assert sampler.facts() == {}


def test_a_device_without_sensors_leaves_no_records() -> None:
    kept: list[TelemetryRecord] = []
    assert sampler_of(FixedSource(), kept, Clock()).sample() == {}
    assert kept == []


async def test_it_runs_at_its_interval_until_cancelled() -> None:
    kept: list[TelemetryRecord] = []
    clock = Clock()
    task = asyncio.create_task(sampler_of(FixedSource(cpu_pct=1.0), kept, clock).run())
    while len(kept) < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [record.at_s - 5e8 for record in kept[:3]] == [110, 120, 130]


def test_vitals_stand_in_the_record_and_are_no_facts() -> None:
    kept: list[TelemetryRecord] = []
    vitals: dict[str, Scalar] = {"energy.source": "model", "memory.some_pct": 0.5}
    sampler = Sampler(
        FixedSource(battery_pct=50.0),
        kept.append,
        interval_s=10.0,
        now=lambda: 0.0,
        clock=Clock(),
        vitals=lambda: vitals,
    )
    assert sampler.sample() == sampler.facts() == {"device.battery_pct": 50.0}
    assert kept == [TelemetryRecord(0.0, "device", {"device.battery_pct": 50.0, **vitals})]
