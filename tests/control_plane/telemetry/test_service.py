"""The intake: every record once, whatever is repeated, overlaps or fails; old ones go, a restart forgets nothing."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from control_plane.database import Database
from control_plane.decisions.records import Decided, Event
from control_plane.errors import DatabaseUnavailableError
from control_plane.nodes.admission import Admission
from control_plane.telemetry.service import TelemetryIntake
from edgewise.wire.frames import TelemetryRecord
from tests.control_plane.decisions.events import sid
from tests.control_plane.telemetry.batches import BY, answer, decision, fresh, record, samples
from tests.factories.admin import NOON
from tests.factories.database import open_database


@pytest.fixture
def intake(database: Database) -> TelemetryIntake:
    return TelemetryIntake(database, now=lambda: NOON)


async def seqs(intake: TelemetryIntake, node_id: str = "phone") -> list[int]:
    return [row.seq for row in await intake.page(node_id, limit=1000)]


async def states(database: Database) -> dict[str, tuple[str, str]]:
    async with database.reading() as session:
        rows = await session.execute(text("SELECT stream_id, origin, status FROM decisions"))
        return {row.stream_id: (row.origin, row.status) for row in rows}


async def test_a_record_comes_back_as_it_was_sent(intake: TelemetryIntake) -> None:
    await intake.store(fresh(7, record(5, battery=81.5, charging=True, link="wifi", queue=2)))
    (row,) = await intake.page("phone")
    assert (row.stream, row.seq, row.kind, row.at.timestamp()) == ("s", 7, "device", NOON.timestamp() + 5)
    assert row.values == {"battery": 81.5, "charging": True, "link": "wifi", "queue": 2}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5), st.sampled_from(["a", "b"])), max_size=8))
def test_overlapping_batches_are_stored_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[int, int, str]]
) -> None:
    """Batches (first number, how many more, stream) in any order, each sent to a fresh intake as after a restart."""

    async def run() -> list[tuple[str, int, int]]:
        async with open_database(tmp_path_factory.mktemp("telemetry")) as database:
            for first, more, stream in batches:
                await TelemetryIntake(database).store(samples(first, first + more, stream=stream))
            rows = await TelemetryIntake(database).page("phone", limit=1000)
            return sorted((row.stream, row.seq, int(row.values["n"])) for row in rows)

    expected = {(stream, n, n) for first, more, stream in batches for n in range(first, first + more + 1)}
    assert asyncio.run(run()) == sorted(expected)


async def test_a_batch_that_fails_leaves_nothing_behind_and_may_come_again(
    intake: TelemetryIntake, database: Database
) -> None:
    batch = fresh(1, record(), decision(sid(1)))
    async with database.session() as session:
        await session.execute(text("ALTER TABLE decisions RENAME TO hidden"))
    with pytest.raises(DatabaseUnavailableError):
        await intake.store(batch)
    assert await seqs(intake) == []
    async with database.session() as session:
        await session.execute(text("ALTER TABLE hidden RENAME TO decisions"))
    await intake.store(batch)
    assert await seqs(intake) == [2, 1]
    assert await states(database) == {sid(1): ("device", "running")}


async def test_how_far_a_stream_is_stored_is_known_after_a_restart(intake: TelemetryIntake, database: Database) -> None:
    await intake.store(samples(1, 9))
    await intake.store(samples(1, 4, stream="t"))
    await intake.store(samples(1, 2, node_id="tablet"))
    again = TelemetryIntake(database)
    asked = (("phone", "s"), ("phone", "t"), ("tablet", "s"), ("tablet", "t"), ("nobody", ""))
    assert [await again.last_stored(*one) for one in asked] == [9, 4, 2, 0, 0]


async def test_of_each_node_the_newest_records_are_kept(database: Database) -> None:
    intake = TelemetryIntake(database, keep_records=10)
    await intake.store(samples(1, 3, node_id="tablet"))
    for first in range(1, 31, 3):
        await intake.store(samples(first, first + 2))
    await intake.settle()
    assert await seqs(intake) == list(range(30, 20, -1))
    assert await seqs(intake, "tablet") == [3, 2, 1]
    assert await intake.last_stored("phone", "s") == 30


async def test_what_an_earlier_process_left_is_pruned_at_the_first_batch(database: Database) -> None:
    await TelemetryIntake(database).store(samples(1, 100))
    later = TelemetryIntake(database, keep_records=50)
    await later.store(samples(101, 101))
    await later.settle()
    assert await seqs(later) == list(range(101, 51, -1))


async def test_pruning_waits_while_the_database_is_away(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    class Away(TelemetryIntake):
        away = True

        async def _forget_surplus(self, node_id: str) -> None:
            if self.away:
                raise DatabaseUnavailableError("gone")
            await super()._forget_surplus(node_id)

    intake = Away(database, keep_records=10)
    await intake.store(samples(1, 20))
    await intake.settle()
    assert len(await seqs(intake)) == 20 and "kept for now" in caplog.text
    intake.away = False
    await intake.store(samples(21, 21))
    await intake.settle()
    assert await seqs(intake) == list(range(21, 11, -1))


async def test_nothing_that_decodes_breaks_the_storing(intake: TelemetryIntake) -> None:
    nasty = [
        TelemetryRecord(math.nan, "device", {"a": math.nan, "b": math.inf, "c": "x\0y", "\0": 2**63}),
        TelemetryRecord(1e300, "de\0vice", {"long": "长" * 5000, "half": "\ud800"}),
        TelemetryRecord(-1e18, "device"),
        TelemetryRecord(0.0, "decision", {"stream": 3, "mode": "\0"}),
        TelemetryRecord(0.0, "decision", {"stream": sid(1), "mode": "m" * 99, "rule": "\0" * 500}),
        TelemetryRecord(0.0, "answer", {"stream": sid(1), "finish": "stop", "prompt_tokens": 2**70}),
        TelemetryRecord(0.0, "answer", {"stream": sid(1), "finish": "stop", "total_s": math.inf}),
    ]
    await intake.store(fresh(2**53 - 7, *nasty, stream="s\0t"))
    rows = (await intake.page("phone"))[::-1]
    assert [row.seq for row in rows] == list(range(2**53 - 7, 2**53))
    assert rows[0].values == {"c": "xy", "": 2**63} and rows[0].at == rows[1].at == rows[2].at == NOON
    assert (rows[1].kind, rows[1].values["half"]) == ("device", "?")
    assert len(str(rows[1].values["long"])) == 256


async def test_a_devices_decisions_stand_in_the_table(intake: TelemetryIntake, database: Database) -> None:
    await intake.store(fresh(1, decision(sid(1))))
    await intake.store(fresh(2, answer(sid(1)), decision(sid(2)), answer(sid(2), finish="error", error_code="stalled")))
    assert await states(database) == {sid(1): ("device", "done"), sid(2): ("device", "failed")}


async def test_long_terms_arrive_whole(database: Database) -> None:
    heard: list[Event] = []
    intake = TelemetryIntake(database, now=lambda: NOON, on_events=heard.extend)
    steps = [{"mode": "cloud", "max_tokens": 3, "reason": "r" * 300}, {"mode": "refuse", "reason": "s" * 300}]
    told = decision(sid(1), terms=json.dumps({"fallback": steps}), rule="u" * 300)
    await intake.store(fresh(1, told))
    (event,) = heard
    assert isinstance(event, Decided) and event.terms is not None
    assert [step["reason"] for step in event.terms["fallback"]] == ["r" * 300, "s" * 300]
    (row,) = await intake.page("phone")
    assert row.values["terms"] == told.values["terms"] and len(str(row.values["rule"])) == 256


async def test_a_decision_that_is_told_again_does_not_run_again(intake: TelemetryIntake, database: Database) -> None:
    await intake.store(fresh(1, decision(sid(1)), answer(sid(1)), decision(sid(1)), stream="first"))
    await intake.store(fresh(1, decision(sid(1)), stream="numbering anew"))
    assert await states(database) == {sid(1): ("device", "done")}


async def test_another_tenants_device_cannot_touch_it(intake: TelemetryIntake, database: Database) -> None:
    await intake.store(fresh(1, decision(sid(1))))
    stranger = Admission(key_id="key-9", tenant="other")
    await intake.store(fresh(1, decision(sid(1)), answer(sid(1)), node_id="spy", by=stranger))
    assert await states(database) == {sid(1): ("device", "running")}
    await intake.store(fresh(2, answer(sid(1)), by=Admission(key_id="rotated", tenant=BY.tenant)))
    assert await states(database) == {sid(1): ("device", "done")}
