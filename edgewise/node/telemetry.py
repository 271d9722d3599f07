"""Where a node's telemetry waits until the gateway has stored it: the source protocol, one in memory, the sending half.

The agent's source on disk is edge_agent/telemetry/buffer.py. Who sends what when is the session's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

import msgspec

from edgewise.wire.frames import Telemetry, TelemetryAck, TelemetryRecord


class TelemetryBatch(msgspec.Struct, frozen=True):
    """Records `first_seq`, `first_seq + 1`, …; `dropped` were lost right before them, for want of room."""

    first_seq: int
    records: tuple[TelemetryRecord, ...]
    dropped: int = 0

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.records) - 1


class TelemetrySource(Protocol):
    """An ordered, numbered stream of records. Sequence numbers start at 1 and are never used twice in one stream.

    `stream` is a fresh id whenever the numbering starts anew. `wake` is set when records were added; the link clears
    it. All calls come from the event loop and must be quick (a local, indexed read).
    """

    @property
    def stream(self) -> str: ...

    @property
    def acked(self) -> int:
        """The last sequence number known to be stored by the gateway; 0 means none."""
        ...

    @property
    def wake(self) -> asyncio.Event: ...

    def pending(self, after_seq: int, limit: int) -> TelemetryBatch | None:
        """The oldest records with a number over `after_seq`, contiguous, at most `limit`; None when there are none."""
        ...

    def ack(self, seq: int) -> None:
        """Everything up to `seq` is stored and may be forgotten; idempotent, never goes back."""
        ...


class MemoryTelemetry:
    """A bounded TelemetrySource in memory, as a cloud worker uses it; when it is full the oldest record goes."""

    def __init__(self, stream: str, *, max_records: int = 10_000) -> None:
        self.stream = stream
        self.wake = asyncio.Event()
        self._records: deque[TelemetryRecord] = deque()
        self._max_records = max_records
        self._first_seq = 1
        self._acked = 0

    @property
    def acked(self) -> int:
        return self._acked

    def add(self, record: TelemetryRecord) -> int:
        """Append a record; returns its sequence number."""
        if len(self._records) == self._max_records:
            self._records.popleft()
            self._first_seq += 1
        self._records.append(record)
        self.wake.set()
        return self._first_seq + len(self._records) - 1

    def pending(self, after_seq: int, limit: int) -> TelemetryBatch | None:
        first = max(after_seq + 1, self._first_seq)
        records = tuple(self._records)[first - self._first_seq :][:limit]
        return TelemetryBatch(first, records, dropped=first - after_seq - 1) if records else None

    def ack(self, seq: int) -> None:
        self._acked = max(self._acked, seq)
        while self._records and self._first_seq <= seq:
            self._records.popleft()
            self._first_seq += 1


class TelemetrySender:
    """The sending half, pure: one batch under way at a time, always from the last acknowledged record on."""

    def __init__(self, stream: str, acked: int) -> None:
        self.acked = acked
        self._stream = stream
        self._under_way = False

    def reconnected(self) -> None:
        """What was under way is lost, or was stored and will be acknowledged by Welcome."""
        self._under_way = False

    @property
    def ready(self) -> bool:
        """Whether a batch may be sent now."""
        return not self._under_way

    def frame(self, batch: TelemetryBatch) -> Telemetry:
        """Send this batch; nothing more until it is answered."""
        self._under_way = True
        return Telemetry(stream=self._stream, first_seq=batch.first_seq, records=batch.records, dropped=batch.dropped)

    def stored(self, seq: int) -> bool:
        """The gateway holds everything up to `seq`; whether that is news."""
        news = seq > self.acked
        self.acked = max(self.acked, seq)
        return news

    def answered(self, ack: TelemetryAck) -> bool:
        """An answer came; whether it brought progress. Without progress (a failing store) the caller waits a while."""
        if ack.stream != self._stream:
            return False
        self._under_way = False
        return self.stored(ack.seq)
