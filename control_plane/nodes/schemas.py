"""HTTP shapes of /admin/v1/nodes."""

from __future__ import annotations

from typing import Literal

import msgspec
from pydantic import BaseModel

from control_plane.nodes.views import NodeView
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
    """Which policy a node decides by; `error` says why it does not take the one in force."""

    digest: str
    applied: bool
    error: str | None


class NodeSummary(BaseModel):
    """A connected node as of now; ages in seconds. `key_id` names its key."""

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

    @classmethod
    def of(cls, node: NodeView) -> NodeSummary:
        """The shape of one node of the registry's snapshot."""
        status = node.policy
        policy = {"digest": status.digest, "applied": status.applied, "error": None} if status else None
        if policy and status and status.error:
            policy["error"] = status.error.message
        return cls.model_validate(msgspec.to_builtins(msgspec.structs.replace(node, policy=None)) | {"policy": policy})


class NodeList(BaseModel):
    """Every node that is connected to this gateway."""

    items: list[NodeSummary]
