"""What a worker tells of itself: its machine by psutil and its engine's load, as telemetry records. No sending here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psutil  # type: ignore[import-untyped]

from edgewise.routing.tier import Load
from edgewise.wire.frames import Scalar, TelemetryRecord

KIND = "worker"


def machine() -> dict[str, Scalar]:
    """CPU use since the last call and memory use, in percent of the machine."""
    return {"worker.cpu_pct": psutil.cpu_percent(), "worker.memory_pct": psutil.virtual_memory().percent}


class WorkerSampler:
    """Records machine and load every `interval_s`; `now` is Unix seconds."""

    def __init__(
        self,
        load: Callable[[], Load],
        record: Callable[[TelemetryRecord], object],
        *,
        interval_s: float,
        now: Callable[[], float],
        measure: Callable[[], dict[str, Scalar]] = machine,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._load, self._record, self._measure = load, record, measure
        self._interval_s, self._now, self._sleep = interval_s, now, sleep

    def sample(self) -> TelemetryRecord:
        """One record, now."""
        load = self._load()
        values = self._measure() | {
            "worker.running": load.running,
            "worker.queued": load.queued,
            "worker.slots": load.slots,
            "worker.tokens_per_s": load.tokens_per_s,
        }
        return TelemetryRecord(at_s=self._now(), kind=KIND, values=values)

    async def run(self) -> None:
        """Record for ever."""
        while True:
            self._record(self.sample())
            await self._sleep(self._interval_s)
