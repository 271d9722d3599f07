"""The ladder's shell: readings in the ladder's words, one log line and one record a switch, limits handed on."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from edge_agent.ladder import Accept, Ladder, LadderSettings, LadderWatch, Limits, Needs
from edge_agent.ladder.watch import ladder_facts
from edge_agent.telemetry.load import Load
from edge_agent.telemetry.pressure import Stalls
from edge_agent.telemetry.sources import FixedSource
from edge_agent.telemetry.vitals import Vitals
from edgewise.wire.frames import TelemetryRecord

GIB = 1 << 30
FULL = Vitals(
    memory_total_bytes=4 * GIB,
    memory_available_bytes=2 * GIB,
    stalls=Stalls(1.0, 0.5),
    throttled=False,
    load=Load(4, 1.5, 0.25),
)


class Stage:
    """A device whose facts a test sets, and everything that the watch told."""

    def __init__(self) -> None:
        self.device = FixedSource(battery_pct=80.0, charging=False, cpu_temp_c=45.0)
        self.obeyed: list[Limits] = []
        self.kept: list[TelemetryRecord] = []
        self.seconds = 0.0
        self.watch = LadderWatch(
            Ladder(LadderSettings(cores=4)),
            device=self.device.read,
            vitals=lambda: FULL,
            needs=Needs,
            obey=self.obeyed.append,
            record=self.kept.append,
            now=lambda: 1e9 + self.seconds,
            clock=lambda: self.seconds,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


def test_readings_become_the_ladders_facts() -> None:
    device = FixedSource(battery_pct=40, charging=True, cpu_temp_c=61.5, memory_pct=20.0).read()
    facts = ladder_facts(device, FULL, Needs(5, 7))
    assert (facts.memory_total_bytes, facts.memory_available_bytes) == (4 * GIB, 2 * GIB)
    assert (facts.memory_some_pct, facts.memory_full_pct, facts.growth_bytes, facts.freed_bytes) == (1.0, 0.5, 5, 7)
    assert (facts.cpu_temp_c, facts.throttled, facts.battery_pct, facts.charging) == (61.5, False, 40.0, True)
    assert (facts.cores, facts.others_cores) == (4, 0.25)


def test_what_is_unknown_stays_unknown() -> None:
    assert ladder_facts({}, Vitals(), Needs()) == ladder_facts({"device.link": "wifi"}, Vitals(), Needs())
    facts = ladder_facts({}, Vitals(), Needs())
    assert facts.charging is None and facts.cpu_temp_c is None and facts.memory_available_bytes is None


def test_an_operators_figure_of_memory_in_use_counts() -> None:
    facts = ladder_facts(FixedSource(memory_pct=95.0).read(), FULL, Needs())
    assert facts.memory_available_bytes == pytest.approx(0.05 * 4 * GIB, abs=1)


def test_limits_are_handed_on_when_they_change_and_every_switch_is_told(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    with caplog.at_level(logging.INFO):
        stage.watch.step()
        stage.watch.step()
        stage.device.facts["device.battery_pct"] = 15.0
        stage.watch.step()
    assert [limits.accept for limits in stage.obeyed] == [Accept.ALL, Accept.ONLY_HERE]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].getMessage() == "battery: full → low, battery at 15 % <= 20"
    assert [(each.kind, each.at_s, each.values["to"]) for each in stage.kept] == [("ladder", 1e9, "low")]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stage.kept[0]), type=TelemetryRecord) == stage.kept[0]


async def test_it_steps_every_second_until_cancelled() -> None:
    stage = Stage()
    task = asyncio.create_task(stage.watch.run())
    while stage.seconds < 35:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.watch.standing is not None and stage.watch.standing.rungs["contention"] == "half"
    assert [each.values["ladder"] for each in stage.kept] == ["contention"]
