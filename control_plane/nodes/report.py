"""NodeReport: what is known of a connected node, whichever gateway it is connected to."""

from __future__ import annotations

from typing import Protocol

from control_plane.nodes.admission import Admission
from edgewise.routing.tier import Load
from edgewise.wire.frames import Heartbeat, Hello, PolicyStatus


class NodeReport(Protocol):
    """The read side of a connection; `gateway_id` is empty for the nodes of this gateway."""

    @property
    def gateway_id(self) -> str: ...
    @property
    def live(self) -> bool: ...
    @property
    def node_id(self) -> str: ...
    @property
    def hello(self) -> Hello: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def epoch(self) -> int: ...
    @property
    def heartbeat(self) -> Heartbeat | None: ...
    @property
    def policy_status(self) -> PolicyStatus | None: ...
    @property
    def open_attempts(self) -> int: ...
    @property
    def connected_s(self) -> float: ...
    @property
    def heartbeat_age_s(self) -> float: ...


def node_load(node: NodeReport, open_attempts: int) -> Load:
    """The last heartbeat's figures; attempts begun by us since then count at once."""
    if node.heartbeat is None:
        return Load(running=open_attempts, age_s=node.heartbeat_age_s)
    told = node.heartbeat.load
    return Load(
        running=max(told.running, open_attempts - told.queued),
        queued=told.queued,
        slots=max(1, told.slots),
        tokens_per_s=told.tokens_per_s,
        age_s=node.heartbeat_age_s,
        rtt_ms=node.heartbeat.rtt_ms,
    )
