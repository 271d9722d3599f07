"""HTTP shapes of /admin/v1/nodes/{node_id}/telemetry."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from edgewise.wire.frames import Scalar


class TelemetryView(BaseModel):
    """One record: `stream` and `seq` are the node's numbering, `at` its clock."""

    model_config = ConfigDict(from_attributes=True)

    stream: str
    seq: int
    at: datetime
    kind: str
    values: dict[str, Scalar]


class TelemetryPage(BaseModel):
    """Records of one node, the last to arrive first. `next` is the `before` of the next page."""

    items: list[TelemetryView]
    next: int | None
