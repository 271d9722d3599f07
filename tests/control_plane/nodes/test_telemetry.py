"""The ledger: stored once, in order; gaps only where the node says that records are lost for good."""

from __future__ import annotations

import pytest

from control_plane.nodes.telemetry import TelemetryLedger
from edgewise.wire.frames import Telemetry, TelemetryRecord


def batch(first: int, last: int, dropped: int = 0, stream: str = "s") -> Telemetry:
    records = tuple(TelemetryRecord(float(n), "device") for n in range(first, last + 1))
    return Telemetry(stream=stream, first_seq=first, records=records, dropped=dropped)


@pytest.mark.parametrize(
    ("frame", "fresh", "dropped"),
    [
        (batch(6, 8), [6.0, 7.0, 8.0], 0),
        (batch(4, 7), [6.0, 7.0], 0),
        (batch(2, 5), None, 0),
        (batch(7, 8), None, 0),
        (batch(9, 9, dropped=3), [9.0], 3),
        (batch(9, 9, dropped=2), None, 0),
        (batch(9, 9, dropped=8), [9.0], 3),
    ],
    ids=["next", "overlap", "duplicate", "gap", "dropped", "gap beyond dropped", "dropped more than missing"],
)
def test_only_what_is_new_is_taken(frame: Telemetry, fresh: list[float] | None, dropped: int) -> None:
    ledger = TelemetryLedger("phone")
    ledger.learn("s", 5)
    taken = ledger.take(frame)
    assert ([record.at_s for record in taken.records] if taken else None) == fresh
    assert (taken.dropped if taken else 0) == dropped


def test_only_a_commit_moves_the_ledger() -> None:
    ledger = TelemetryLedger("phone")
    taken = ledger.take(batch(1, 3))
    assert taken is not None and ledger.acked("s") == 0
    ledger.commit(taken)
    assert ledger.acked("s") == 3 and ledger.take(batch(1, 3)) is None


def test_streams_are_numbered_apart_and_old_ones_forgotten() -> None:
    ledger = TelemetryLedger("phone")
    for number in range(20):
        ledger.learn(f"s{number}", 5)
    assert ledger.acked("s19") == 5 and ledger.acked("s0") == 0
