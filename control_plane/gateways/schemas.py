"""HTTP shapes of /admin/v1/gateways."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel

from control_plane.gateways.messages import GatewayPresence


class GatewayView(BaseModel):
    """A live gateway, its nodes and how many answers it makes now. `answering` marks the one that answers this."""

    gateway_id: str
    name: str
    version: str
    started_at: datetime
    running: int
    draining: bool
    answering: bool
    nodes: list[str]

    @classmethod
    def of(cls, gateway: GatewayPresence, *, nodes: list[str], answering: bool) -> GatewayView:
        """The shape of one presence."""
        return cls(
            gateway_id=gateway.gateway_id,
            name=gateway.name,
            version=gateway.version,
            started_at=datetime.fromtimestamp(gateway.started_at_s, UTC),
            running=gateway.running,
            draining=gateway.draining,
            answering=answering,
            nodes=nodes,
        )


class GatewayList(BaseModel):
    """Every live gateway of this token log, the one that answers first."""

    items: list[GatewayView]
