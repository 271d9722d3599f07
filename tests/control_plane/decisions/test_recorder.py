"""The recorder: everything arrives in SQL or is counted, whatever fails, and no text ever does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from control_plane.database import Database
from control_plane.decisions.recorder import BATCH_MAX, DecisionRecorder
from control_plane.decisions.records import Event, decided_values
from control_plane.decisions.repository import DecisionRepository
from control_plane.decisions.spill import SPILL_FILE, SpillFile
from control_plane.decisions.tables import DecisionRow
from control_plane.errors import DatabaseUnavailableError
from tests.control_plane.decisions.events import decided, finished, sid
from tests.factories.admin import NOON
from tests.factories.database import open_database

HUGE = 10**5000
"""More digits than Python writes out."""


async def rows(database: Database) -> list[DecisionRow]:
    async with database.reading() as session:
        listed = [row.stream_id for row in await session.execute(text("SELECT stream_id FROM decisions ORDER BY 1"))]
        found = [await DecisionRepository(session).get(stream_id) for stream_id in listed]
    return [row for row in found if row is not None]


async def row_of(database: Database, number: int) -> DecisionRow:
    async with database.reading() as session:
        return await session.get_one(DecisionRow, sid(number))


async def break_database(database: Database) -> None:
    async with database.session() as session:
        await session.execute(text("ALTER TABLE decisions RENAME TO hidden"))


async def mend_database(database: Database) -> None:
    async with database.session() as session:
        await session.execute(text("ALTER TABLE hidden RENAME TO decisions"))


@pytest.fixture
def recorder(database: Database, tmp_path: Path) -> DecisionRecorder:
    return DecisionRecorder(database, SpillFile(tmp_path))


async def test_a_decision_is_running_until_its_end_is_told(database: Database, recorder: DecisionRecorder) -> None:
    recorder.decided(decided(1))
    await recorder.flush()
    row = await row_of(database, 1)
    assert (row.status, row.mode, row.rule, row.ended_at, row.timings_s) == ("running", "race", "default", None, None)
    assert row.facts == {"request.complexity": 0.2, "request.language": "zh", "device.present": True}
    assert row.at > NOON
    recorder.finished(finished(1))
    await recorder.flush()
    row = await row_of(database, 1)
    assert (row.status, row.finish, row.tier, row.last_tier) == ("done", "stop", "edge:phone-7", "cloud:worker-0")
    assert (row.prompt_tokens, row.completion_tokens, row.waste_tokens) == (12, 34, 5)
    assert (row.first_token_s, row.total_s, row.timings_s) == (0.12, 1.5, {"queue": 0.01})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=5), max_size=12), st.sets(st.integers(min_value=0, max_value=24)))
def test_however_batches_fall_the_rows_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], flushes: set[int]
) -> None:
    """Decisions and ends of several streams, flushed at random moments, against a naive model."""
    events: list[Event] = [event for number in numbers for event in (decided(number), finished(number))]

    async def run() -> dict[str, str]:
        directory = tmp_path_factory.mktemp("recorder")
        async with open_database(directory) as database:
            recorder = DecisionRecorder(database, SpillFile(directory), queue_max=3)
            for index, event in enumerate(events):
                recorder.decided(event) if index % 2 == 0 else recorder.finished(event)  # type: ignore[arg-type]
                if index in flushes:
                    await recorder.flush()
            await recorder.stop()
            assert recorder.stats.orphans == recorder.stats.dropped == recorder.stats.queued == 0
            return {row.stream_id: row.status for row in await rows(database)}

    assert asyncio.run(run()) == {sid(number): "done" for number in numbers}


@pytest.mark.parametrize("maker_first", [True, False])
async def test_an_answer_that_one_gateway_made_and_another_stopped_is_told_of_by_both(
    database: Database, recorder: DecisionRecorder, maker_first: bool
) -> None:
    stopped = {"status": "cancelled", "finish": "cancelled", "first_token_s": None, "total_s": None}
    maker = finished(1, **stopped)
    ends = [maker, finished(1, **stopped, tier="", timings_s={})]
    recorder.decided(decided(1))
    for end in ends if maker_first else reversed(ends):
        recorder.finished(end)
        await recorder.flush()
    (row,) = await rows(database)
    assert (row.status, row.last_tier, row.timings_s) == ("cancelled", maker.tier, maker.timings_s)


async def test_the_task_writes_by_itself_and_stop_writes_the_rest(database: Database, tmp_path: Path) -> None:
    gathering = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        gathering.set()
        await asyncio.sleep(0)

    recorder = DecisionRecorder(database, SpillFile(tmp_path), sleep=sleep)
    await recorder.start()
    recorder.decided(decided(1))
    await gathering.wait()
    while recorder.stats.written == 0:
        await asyncio.sleep(0)
    recorder.decided(decided(2))
    await recorder.stop()
    assert [row.stream_id for row in await rows(database)] == [sid(1), sid(2)]


async def test_more_than_one_batch(database: Database, recorder: DecisionRecorder) -> None:
    for number in range(BATCH_MAX + 7):
        recorder.decided(decided(number))
    await recorder.flush()
    assert len(await rows(database)) == recorder.stats.written == BATCH_MAX + 7


async def test_a_full_queue_spills_and_nothing_is_lost_or_out_of_order(database: Database, tmp_path: Path) -> None:
    recorder = DecisionRecorder(database, SpillFile(tmp_path), queue_max=2)
    for number in range(5):
        recorder.decided(decided(number))
    recorder.finished(finished(0))
    recorder.finished(finished(4))
    assert (recorder.stats.queued, recorder.stats.spilled) == (2, 5)
    assert (tmp_path / SPILL_FILE).stat().st_mode & 0o777 == 0o600
    await recorder.flush()
    assert [row.status for row in await rows(database)] == ["done", "running", "running", "running", "done"]
    assert not list(tmp_path.glob("decisions.spill*"))
    recorder.decided(decided(9))
    assert recorder.stats.queued == 1


async def test_a_stop_without_a_database_keeps_all_for_the_next_start(database: Database, tmp_path: Path) -> None:
    await break_database(database)
    recorder = DecisionRecorder(database, SpillFile(tmp_path))
    recorder.decided(decided(1))
    recorder.finished(finished(1))
    with pytest.raises(DatabaseUnavailableError):
        await recorder.flush()
    assert recorder.stats.queued == 2
    await recorder.stop()
    assert recorder.stats.queued == 0
    await mend_database(database)
    again = DecisionRecorder(database, SpillFile(tmp_path))
    again.decided(decided(2))
    await again.stop()
    assert [row.status for row in await rows(database)] == ["done", "running"]


async def test_a_crash_while_reading_the_spill_back_repeats_it(database: Database, tmp_path: Path) -> None:
    spill = SpillFile(tmp_path)
    spill.append([decided(1), finished(1)])
    assert len(spill.take()) == 2
    spill.append([decided(2)])
    with (tmp_path / SPILL_FILE).open("ab") as file:
        file.write(b'{"type":"decided","stream_')
    recorder = DecisionRecorder(database, SpillFile(tmp_path))
    await recorder.flush()
    assert [row.stream_id for row in await rows(database)] == [sid(1), sid(2)]
    assert not SpillFile(tmp_path)


async def test_what_nothing_can_take_is_counted_and_said(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = DecisionRecorder(database, SpillFile(tmp_path / "no" / "such" / "place"), queue_max=1)
    recorder.decided(decided(1))
    recorder.decided(decided(2))
    assert recorder.stats.dropped == 1
    assert "lost" in caplog.text


@pytest.mark.parametrize("bad", [HUGE, float("nan"), "\ud800"], ids=["huge", "not a number", "half a surrogate"])
async def test_an_event_that_no_file_can_hold_is_counted_and_takes_no_other_with_it(
    bad: Any, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = DecisionRecorder(database, SpillFile(tmp_path), queue_max=1)
    recorder.decided(decided(1))
    recorder.decided(decided(2, facts={"request.turns": bad}))
    recorder.finished(finished(1, timings_s={"queue": bad}))
    recorder.decided(decided(3))
    assert (recorder.stats.spilled, recorder.stats.dropped) == (1, 2)
    assert "lost" in caplog.text
    await recorder.flush()
    assert [row.stream_id for row in await rows(database)] == [sid(1), sid(3)]


async def test_an_end_without_a_decision_is_counted(database: Database, recorder: DecisionRecorder) -> None:
    recorder.finished(finished(1))
    await recorder.flush()
    assert recorder.stats.orphans == 1
    assert await rows(database) == []


@pytest.mark.parametrize(
    "bad",
    [decided(2, at=datetime(2026, 1, 1)), finished(1, prompt_tokens=2**70)],
    ids=["a time without a zone", "a number too big"],
)
async def test_an_event_that_sql_refuses_takes_no_other_with_it(
    database: Database, recorder: DecisionRecorder, bad: Event, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.decided(decided(1))
    recorder.decided(bad)  # type: ignore[arg-type]
    recorder.decided(decided(3))
    await recorder.flush()
    assert [row.stream_id for row in await rows(database)] == [sid(1), sid(3)]
    assert (recorder.stats.dropped, recorder.stats.queued) == (1, 0)
    assert "refused" in caplog.text


async def test_a_resumed_stream_is_decided_again_in_place(database: Database, recorder: DecisionRecorder) -> None:
    recorder.decided(decided(1))
    await recorder.flush()
    recorder.decided(decided(1, mode="cloud", rule="takeover"))
    await recorder.flush()
    (row,) = await rows(database)
    assert (row.mode, row.rule) == ("cloud", "takeover")


async def test_the_prompt_cannot_get_in_by_the_facts(
    database: Database, recorder: DecisionRecorder, tmp_path: Path
) -> None:
    prompt = "my card number is 4000 0000 0000 0000 and this is a long sentence that nobody else should ever read"
    recorder.decided(
        decided(1, facts={"request.model": prompt, "prompt": prompt, "request.turns": 3, "request.tenant": [prompt]})
    )
    await recorder.flush()
    row = await row_of(database, 1)
    assert row.facts == {"request.turns": 3}
    await database.close()
    assert all(b"4000 0000" not in path.read_bytes() for path in tmp_path.glob("*"))


@given(
    st.dictionaries(
        st.sampled_from(["request.model", "request.turns", "prompt"]),
        st.text() | st.integers() | st.lists(st.text()) | st.none() | st.binary(),
    )
)
def test_facts_are_short_storable_scalars_whatever_comes(facts: dict[str, object]) -> None:
    kept = decided_values(decided(1, facts=facts))["facts"]
    assert set(kept) <= {"request.model", "request.turns"}
    for value in kept.values():
        assert isinstance(value, bool | int | float | str)
        if isinstance(value, str):
            assert len(value) <= 80
            assert "\0" not in value
            value.encode()


async def test_the_database_comes_back_and_the_task_goes_on(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await break_database(database)
    caplog.set_level(logging.WARNING)
    mended = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds >= 1.0 and not mended.is_set():
            await mend_database(database)
            mended.set()
        await asyncio.sleep(0)

    recorder = DecisionRecorder(database, SpillFile(tmp_path), sleep=sleep)
    recorder.decided(decided(1))
    await recorder.start()
    await wait_until(lambda: recorder.stats.written == 1)
    await recorder.stop()
    assert mended.is_set()
    assert "kept" in caplog.text
    assert len(await rows(database)) == 1


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)
