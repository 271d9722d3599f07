"""Which telemetry of which stream is stored: duplicates are acknowledged and not stored twice, gaps are refused.

Pure. Where the records go is the registry's `on_telemetry`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from control_plane.nodes.admission import Admission
from edgewise.wire.frames import Telemetry, TelemetryRecord

_STREAMS_KEPT = 8
_NOBODY = Admission()


@dataclass(frozen=True, slots=True)
class FreshTelemetry:
    """The part of a batch that is not stored yet. `dropped` records before it were lost on the node, for good;
    `admission` says under which key they came."""

    node_id: str
    stream: str
    first_seq: int
    records: tuple[TelemetryRecord, ...]
    dropped: int
    admission: Admission = _NOBODY

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.records) - 1


class TelemetryLedger:
    """How far each stream of one node is stored. `take`, store, `commit`: in this order, one batch at a time."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._acked: OrderedDict[str, int] = OrderedDict()

    def acked(self, stream: str) -> int:
        """The last sequence number of this stream that is stored; 0 means none."""
        return self._acked.get(stream, 0)

    def learn(self, stream: str, seq: int) -> None:
        """The node (or a store) knows that everything up to `seq` is stored: for a gateway that forgot."""
        self._acked[stream] = max(self.acked(stream), seq)
        self._acked.move_to_end(stream)
        while len(self._acked) > _STREAMS_KEPT:
            self._acked.popitem(last=False)

    def knows(self, stream: str) -> bool:
        """Whether this process has heard of the stream."""
        return stream in self._acked

    def take(self, frame: Telemetry, admission: Admission = _NOBODY) -> FreshTelemetry | None:
        """What is new in this batch; None when all of it is known, or when records before it are missing."""
        expected = self.acked(frame.stream) + 1
        if frame.first_seq - frame.dropped > expected:
            return None
        fresh = frame.records[max(0, expected - frame.first_seq) :]
        if not fresh:
            return None
        first = max(expected, frame.first_seq)
        return FreshTelemetry(self._node_id, frame.stream, first, fresh, first - expected, admission)

    def commit(self, fresh: FreshTelemetry) -> None:
        """This part is stored."""
        self.learn(fresh.stream, fresh.last_seq)
