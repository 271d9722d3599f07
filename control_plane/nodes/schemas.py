"""HTTP shapes of /admin/v1/nodes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from control_plane.nodes.views import NodeView
from control_plane.nodes.wishes import NO_WISH, NodeWish, effective_labels
from edgewise.wire.frames import PolicyStatus
from policies.facts import FactValue


class OfferedModel(BaseModel):
    """A model that is loaded on a node."""

    name: str
    version: str
    weights_digest: str = ""
    tokenizer_digest: str = ""
    template_digest: str = ""
    numerics_id: str = ""
    context_tokens: int = 0


class NodeLoad(BaseModel):
    """What a node's engine is doing."""

    running: int = 0
    queued: int = 0
    slots: int = 1
    tokens_per_s: float = 0.0


class NodePolicy(BaseModel):
    """The policy bundle that a node was offered last, and whether it decides by it.

    digest, version: of the bundle. policy_version: the policy in it; 0 where that is not known. refusal, error: the
    rule of bundles that it broke, and why in words.
    """

    digest: str
    version: int
    policy_version: int
    applied: bool
    refusal: str
    error: str | None

    @classmethod
    def of(cls, status: PolicyStatus) -> NodePolicy:
        """The shape of what a node said."""
        return cls(
            digest=status.digest,
            version=status.version,
            policy_version=status.policy_version,
            applied=status.applied,
            refusal=status.refusal,
            error=status.error.message if status.error else None,
        )


LabelName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
LabelValue = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Labels(BaseModel):
    """Labels that override the node's own; an empty value takes a label of the node away."""

    model_config = ConfigDict(extra="forbid")

    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=32)]


class WishView(BaseModel):
    """What operators wish of a node, connected or not."""

    drained: bool
    labels: dict[str, str]
    changed_at: datetime | None
    changed_by: str

    @classmethod
    def of(cls, wish: NodeWish) -> WishView:
        """The shape of a wish."""
        return cls(
            drained=wish.drained, labels=dict(wish.labels), changed_at=wish.changed_at, changed_by=wish.changed_by
        )


class AwayNode(BaseModel):
    """A node that is not connected and of which operators wish something."""

    node_id: str
    wish: WishView

    @classmethod
    def of(cls, node_id: str, wish: NodeWish) -> AwayNode:
        """The shape of a wish for a node that is away."""
        return cls(node_id=node_id, wish=WishView.of(wish))


class Forgotten(BaseModel):
    """What went with a node."""

    node_id: str
    telemetry_records: int


class NodeSummary(BaseModel):
    """A connected node as of now; ages in seconds. `key_id` names its key.

    `labels` are those in force: the node's own, overridden by the operators' (`wish.labels`). `wanted_models` names the
    models of which another version is wanted than the one loaded.
    """

    node_id: str
    kind: Literal["edge", "cloud"]
    connection_epoch: int
    connected_s: float
    heartbeat_age_s: float
    agent_version: str
    key_id: str
    tenant: str
    labels: dict[str, str]
    capabilities: list[str]
    models: list[OfferedModel]
    load: NodeLoad
    open_attempts: int
    facts: dict[str, FactValue]
    policy: NodePolicy | None
    gateway: str = ""
    """The gateway that it is connected to; empty for the one that answers."""
    wish: WishView
    wanted_models: dict[str, str]

    @classmethod
    def of(cls, node: NodeView, wish: NodeWish = NO_WISH, wanted: Mapping[str, str] | None = None) -> NodeSummary:
        """The shape of one node of the registry's snapshot."""
        policy = NodePolicy.of(node.policy) if node.policy else None
        labels = effective_labels(node.labels, wish)
        plain = msgspec.to_builtins(msgspec.structs.replace(node, policy=None, labels=labels))
        return cls.model_validate(
            plain | {"policy": policy, "wish": WishView.of(wish), "wanted_models": dict(wanted or {})}
        )


class NodeList(BaseModel):
    """Every node that is connected to this gateway or another one of this token log."""

    items: list[NodeSummary]
    away: list[AwayNode] = []
