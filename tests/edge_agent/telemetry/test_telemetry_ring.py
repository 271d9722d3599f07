"""The telemetry ring: order, acknowledgement, restart, caps, counted gaps, damage, and random use."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.telemetry.buffer import TelemetryRing
from edgewise.wire.errors import DataDirError
from edgewise.wire.frames import Scalar, TelemetryRecord

NOW = 1_000_000.0


def record(number: int, at_s: float = NOW) -> TelemetryRecord:
    return TelemetryRecord(at_s, "device", {"number": number, "device.battery_pct": 50.0})


def ring(path: Path, **options: object) -> TelemetryRing:
    ids = iter(("first", "second"))
    return TelemetryRing(path / "telemetry.db", now=lambda: NOW, stream_id=lambda: next(ids), **options)  # type: ignore[arg-type]


def numbers(of: TelemetryRing, after: int = 0, limit: int = 100) -> list[object]:
    batch = of.pending(after, limit)
    return [] if batch is None else [one.values["number"] for one in batch.records]


def test_records_come_back_in_order_from_one_and_in_batches(tmp_path: Path) -> None:
    buffer = ring(tmp_path)
    assert buffer.pending(0, 10) is None
    assert [buffer.append(record(n)) for n in (10, 11, 12)] == [1, 2, 3]
    batch = buffer.pending(1, 1)
    assert batch is not None and (batch.first_seq, batch.dropped, len(batch.records)) == (2, 0, 1)
    assert numbers(buffer) == [10, 11, 12]


def test_acknowledged_records_are_forgotten_for_good(tmp_path: Path) -> None:
    buffer = ring(tmp_path)
    for n in range(5):
        buffer.append(record(n))
    buffer.ack(3)
    buffer.ack(2)
    assert buffer.acked == 3 and numbers(buffer, after=3) == [3, 4]


def test_a_restart_goes_on_with_the_same_stream_and_never_reuses_a_number(tmp_path: Path) -> None:
    buffer = ring(tmp_path)
    for n in range(3):
        buffer.append(record(n))
    buffer.ack(3)
    buffer.close()
    again = ring(tmp_path)
    assert (again.stream, again.acked) == ("first", 3)
    assert again.append(record(9)) == 4


@pytest.mark.parametrize(
    "misfit",
    [{"n": 2**70}, {"n": -(2**70)}, {"n" * 65: 1}, {"n": "\ud800"}, {f"n{i}": i for i in range(100)}],
    ids=["too big", "too small", "long name", "half a surrogate", "too many"],
)
def test_values_that_no_frame_may_hold_are_left_out(tmp_path: Path, misfit: dict[str, Scalar]) -> None:
    buffer = ring(tmp_path)
    assert buffer.append(TelemetryRecord(NOW, "device", {"number": 1} | misfit)) == 1
    batch = buffer.pending(0, 10)
    assert batch is not None
    (kept,) = batch.records
    assert (kept.at_s, kept.kind, kept.values["number"]) == (NOW, "device", 1) and len(kept.values) <= 64
    assert not set(misfit) & set(kept.values) or len(misfit) > 64


@pytest.mark.parametrize("hopeless", [TelemetryRecord(2**70, "device"), TelemetryRecord(NOW, "")], ids=["time", "kind"])
def test_a_record_that_no_frame_may_hold_costs_its_number_only(tmp_path: Path, hopeless: TelemetryRecord) -> None:
    buffer = ring(tmp_path)
    assert [buffer.append(one) for one in (record(0), hopeless, record(2))] == [1, 2, 3]
    assert numbers(buffer) == [0] and numbers(buffer, after=1) == [2]


def test_waiting_records_wake_the_link_also_after_a_restart(tmp_path: Path) -> None:
    buffer = ring(tmp_path)
    assert not buffer.wake.is_set()
    buffer.append(record(0))
    assert buffer.wake.is_set()
    buffer.close()
    assert ring(tmp_path).wake.is_set()


def test_the_oldest_go_first_when_room_runs_out_and_the_gap_is_counted(tmp_path: Path) -> None:
    one = ring(tmp_path / "a")
    one.append(record(0))
    size = one._bytes
    buffer = ring(tmp_path / "b", max_bytes=3 * size)
    for n in range(10):
        buffer.append(record(n))
    batch = buffer.pending(0, 100)
    assert batch is not None and (batch.first_seq, batch.dropped) == (8, 7)
    assert numbers(buffer) == [7, 8, 9]


def test_records_that_are_too_old_go_and_the_gap_is_counted(tmp_path: Path) -> None:
    buffer = ring(tmp_path, max_age_s=60.0)
    buffer.append(record(0, NOW - 100))
    buffer.append(record(1, NOW - 61))
    buffer.append(record(2, NOW - 1))
    batch = buffer.pending(0, 100)
    assert batch is not None and (batch.first_seq, batch.dropped) == (3, 2)


def test_the_newest_record_is_kept_whatever_its_size(tmp_path: Path) -> None:
    buffer = ring(tmp_path, max_bytes=1)
    for n in range(3):
        buffer.append(record(n))
    assert numbers(buffer) == [2]


def test_a_record_that_could_not_be_written_is_a_counted_gap(tmp_path: Path) -> None:
    buffer = ring(tmp_path)
    buffer.append(record(0))
    buffer._db.execute("PRAGMA query_only = ON")
    assert buffer.append(record(1)) == 2
    buffer._db.execute("PRAGMA query_only = OFF")
    buffer.append(record(2))
    first, second = buffer.pending(0, 10), buffer.pending(1, 10)
    assert first is not None and (first.first_seq, len(first.records)) == (1, 1)
    assert second is not None and (second.first_seq, second.dropped, len(second.records)) == (3, 1, 1)


def test_a_damaged_file_is_set_aside_and_a_new_stream_begins(tmp_path: Path) -> None:
    (tmp_path / "telemetry.db").write_bytes(b"this was a database once" * 100)
    buffer = ring(tmp_path)
    assert buffer.append(record(0)) == 1
    assert (tmp_path / "telemetry.damaged").exists()


def test_a_directory_that_cannot_hold_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="telemetry"):
        ring(tmp_path / "file")


def test_the_file_survives_an_open_transaction_of_another_reader(tmp_path: Path) -> None:
    buffer = ring(tmp_path)
    buffer.append(record(0))
    with sqlite3.connect(tmp_path / "telemetry.db") as reader:
        assert reader.execute("SELECT count(*) FROM record").fetchone() == (1,)
        buffer.append(record(1))
    assert numbers(buffer) == [0, 1]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.one_of(st.just("append"), st.just("restart"), st.integers(0, 40)), max_size=30))
def test_what_is_delivered_and_what_is_counted_as_dropped_is_everything(
    tmp_path_factory: pytest.TempPathFactory, script: list[str | int]
) -> None:
    folder = tmp_path_factory.mktemp("ring")
    buffer, written, seen, lost = ring(folder, max_bytes=200), 0, 0, 0
    for step in script:
        if step == "append":
            written += 1
            assert buffer.append(record(written)) == written
        elif step == "restart":
            buffer.close()
            buffer = ring(folder, max_bytes=200)
        elif batch := buffer.pending(buffer.acked, int(step) + 1):
            assert [one.values["number"] for one in batch.records] == list(range(batch.first_seq, batch.last_seq + 1))
            seen, lost = seen + len(batch.records), lost + batch.dropped
            buffer.ack(batch.last_seq)
    left = buffer.pending(buffer.acked, 1000)
    rest = (len(left.records) + left.dropped) if left else 0
    buffer.close()
    assert seen + lost + rest == written
