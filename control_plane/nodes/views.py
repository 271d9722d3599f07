"""How a connected node is shown to people: the struct behind `registry.snapshot()`. Keys never get here."""

from __future__ import annotations

import msgspec

from control_plane.nodes.facts import device_facts
from control_plane.nodes.report import NodeReport
from edgewise.wire.frames import LoadReport, ModelOffer, NodeKind, PolicyStatus
from policies.facts import FactValue


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A connected node as of now. Ages in seconds; `key_id` names the key, it is not the key."""

    node_id: str
    kind: NodeKind
    connection_epoch: int
    connected_s: float
    heartbeat_age_s: float
    agent_version: str
    key_id: str
    tenant: str
    labels: dict[str, str]
    capabilities: tuple[str, ...]
    models: tuple[ModelOffer, ...]
    load: LoadReport
    open_attempts: int
    facts: dict[str, FactValue]
    policy: PolicyStatus | None
    gateway: str = ""
    """The gateway that it is connected to; empty for the one that shows this."""


def node_view(connection: NodeReport) -> NodeView:
    """The view of one live connection."""
    hello = connection.hello
    return NodeView(
        node_id=hello.node_id,
        kind=hello.kind,
        connection_epoch=connection.epoch,
        connected_s=connection.connected_s,
        heartbeat_age_s=connection.heartbeat_age_s,
        agent_version=hello.agent_version,
        key_id=connection.admission.key_id,
        tenant=connection.admission.tenant,
        labels=hello.labels,
        capabilities=hello.capabilities,
        models=hello.models,
        load=connection.heartbeat.load if connection.heartbeat else LoadReport(),
        open_attempts=connection.open_attempts,
        facts=device_facts(connection) if hello.kind == "edge" else {},
        policy=connection.policy_status,
        gateway=connection.gateway_id,
    )
