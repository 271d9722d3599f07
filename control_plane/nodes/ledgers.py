"""The telemetry ledgers of all nodes, one writer at a time for each; those of nodes gone for long are forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field

from control_plane.nodes.telemetry import TelemetryLedger
from edgewise.wire import frames
from edgewise.wire.errors import EdgewiseError

GONE_S = 3600.0

LastStored = Callable[[str, str], Awaitable[int]]
"""Gives (node id, telemetry stream) the last sequence number that is stored, 0 for none: for a gateway that forgot."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class NodeLedger:
    """A node's ledger, the lock under which it is read and written, and when the node was last known to be here."""

    ledger: TelemetryLedger
    seen_at: float
    storing: asyncio.Lock = field(default_factory=asyncio.Lock)


class NodeLedgers:
    """Ledgers by node id, the node that was seen longest ago first. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float], last_stored: LastStored | None) -> None:
        self._clock = clock
        self._last_stored = last_stored
        self._known: OrderedDict[str, NodeLedger] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def seen(self, node_id: str) -> NodeLedger:
        """The node is here now; a new one gets its ledger."""
        known = self._known.setdefault(node_id, NodeLedger(TelemetryLedger(node_id), 0.0))
        known.seen_at = self._clock()
        self._known.move_to_end(node_id)
        return known

    async def join(self, hello: frames.Hello) -> TelemetryLedger:
        """The node's ledger, which knows at least what the node and the store know of its stream."""
        ledger = self.seen(hello.node_id).ledger
        stream = hello.telemetry_stream
        if self._last_stored is not None and stream and not ledger.knows(stream):
            try:
                ledger.learn(stream, await self._last_stored(hello.node_id, stream))
            except EdgewiseError as error:
                log.warning("what is stored of node %s is unknown; it may send it again: %s", hello.node_id, error)
        ledger.learn(stream, hello.telemetry_acked)
        return ledger

    def forget(self, node_id: str) -> None:
        """Forget a node; what it says and what is stored is learned anew when it joins again."""
        self._known.pop(node_id, None)

    def forget_gone(self, connected: Container[str]) -> None:
        """Forget the nodes that are not connected and were not seen for an hour; the store still knows what it has."""
        while self._known:
            node_id, oldest = next(iter(self._known.items()))
            if oldest.seen_at > self._clock() - GONE_S:
                return
            if node_id in connected:
                self.seen(node_id)
            else:
                del self._known[node_id]
