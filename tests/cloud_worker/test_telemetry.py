"""The worker's own telemetry: what is in a record, and when one is made."""

import asyncio

import pytest

from cloud_worker.telemetry import KIND, WorkerSampler, machine
from edgewise.routing.tier import Load
from edgewise.wire.frames import Scalar, TelemetryRecord


async def test_a_record_now_and_after_every_interval() -> None:
    records: list[TelemetryRecord] = []
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise asyncio.CancelledError

    sampler = WorkerSampler(
        lambda: Load(2, 1, 8, 40.0),
        records.append,
        interval_s=7,
        now=lambda: 5.0,
        measure=lambda: {"m": 1},
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await sampler.run()
    assert waits == [7, 7, 7]
    load: dict[str, Scalar] = {"worker.running": 2, "worker.queued": 1, "worker.slots": 8, "worker.tokens_per_s": 40.0}
    assert records == [TelemetryRecord(5.0, KIND, {"m": 1} | load)] * 3


def test_the_machine_is_measured_in_percent() -> None:
    assert set(machine()) == {"worker.cpu_pct", "worker.memory_pct"}
    assert all(0 <= float(value) <= 100 for value in machine().values())
