"""Telemetry waits in order, is dropped oldest first and counted, and is sent one batch at a time."""

from __future__ import annotations

from edgewise.node.telemetry import MemoryTelemetry, TelemetryBatch, TelemetrySender
from edgewise.wire.frames import TelemetryAck, TelemetryRecord


def filled(count: int, max_records: int = 100) -> MemoryTelemetry:
    source = MemoryTelemetry("s", max_records=max_records)
    for number in range(count):
        assert source.add(TelemetryRecord(float(number), "device")) == number + 1
    return source


def times(batch: TelemetryBatch | None) -> list[float]:
    return [record.at_s for record in batch.records] if batch else []


def test_pending_gives_what_follows_in_order() -> None:
    source = filled(5)
    batch = source.pending(2, 2)
    assert batch is not None and (batch.first_seq, batch.last_seq, batch.dropped) == (3, 4, 0)
    assert times(batch) == [2.0, 3.0]
    assert source.pending(5, 2) is None


def test_acknowledged_records_are_forgotten_and_numbers_go_on() -> None:
    source = filled(3)
    source.ack(2)
    source.ack(1)
    assert source.acked == 2
    assert times(source.pending(0, 9)) == [2.0]
    assert source.add(TelemetryRecord(9.0, "device")) == 4


def test_a_full_source_drops_the_oldest_and_says_how_many() -> None:
    batch = filled(8, max_records=3).pending(2, 10)
    assert batch is not None and (batch.first_seq, batch.dropped) == (6, 3)


def test_new_records_wake_the_link() -> None:
    assert not MemoryTelemetry("s").wake.is_set()
    assert filled(1).wake.is_set()


def test_the_sender_has_one_batch_under_way() -> None:
    sender = TelemetrySender("s", acked=0)
    batch = filled(3).pending(0, 3)
    assert batch is not None and sender.ready
    sender.frame(batch)
    assert not sender.ready
    assert not sender.answered(TelemetryAck(stream="other", seq=3))
    assert not sender.ready
    assert sender.answered(TelemetryAck(stream="s", seq=3))
    assert sender.ready and sender.acked == 3


def test_an_answer_without_progress_is_told_apart() -> None:
    sender = TelemetrySender("s", acked=5)
    assert not sender.answered(TelemetryAck(stream="s", seq=5))
    assert sender.acked == 5
