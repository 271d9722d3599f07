"""Asks the device's source now and then: the latest facts are for deciding and heartbeats, each sample is a record.

Vitals (memory in bytes, stalls, throttling, load, energy) stand in the record beside the facts; no policy reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from edge_agent.telemetry.sources import DeviceFacts, DeviceSource
from edgewise.wire.frames import Scalar, TelemetryRecord
from policies import drop_stale

SAMPLE_KIND = "device"


class Sampler:
    """Samples every `interval_s`; `now` is Unix seconds, `clock` monotonic seconds.

    `record` gets every sample (the ring's append), with the `vitals` of that moment. `facts()` leaves out what the
    table calls stale.
    """

    def __init__(
        self,
        source: DeviceSource,
        record: Callable[[TelemetryRecord], object],
        *,
        interval_s: float,
        now: Callable[[], float],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        vitals: Callable[[], Mapping[str, Scalar]] = dict,
    ) -> None:
        self._source = source
        self._vitals = vitals
        self._record = record
        self._interval_s = interval_s
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._latest: DeviceFacts = {}
        self._taken_at = 0.0

    def sample(self) -> DeviceFacts:
        """Read the sensors once and keep the record."""
        self._latest = self._source.read()
        self._taken_at = self._clock()
        if values := {**self._latest, **self._vitals()}:
            self._record(TelemetryRecord(self._now(), SAMPLE_KIND, values))
        return self._latest

    def facts(self) -> DeviceFacts:
        """The last sample, without the facts that are too old to decide by."""
        age_s = self._clock() - self._taken_at
        return drop_stale(self._latest, dict.fromkeys(self._latest, age_s))

    async def run(self) -> None:
        """Sample after every interval until cancelled; the first sample is the starter's."""
        while True:
            await self._sleep(self._interval_s)
            self.sample()
