"""LiveWorld: what a dry run of a policy knows of devices, the cloud and tokenizers at this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control_plane.nodes.registry import NodeRegistry
from control_plane.upstreams.ready import with_upstreams
from edgewise.api.host import Family
from edgewise.generation.state import Message
from edgewise.routing.tier import Tier
from policies import FactValue

_ROLES = {"developer": "system"}


class LiveWorld:
    """Implements control_plane.policy_admin.trying.World over the registry and the model families."""

    def __init__(self, registry: NodeRegistry, families: Mapping[str, Family], *, upstreams: Sequence[Tier]) -> None:
        self._registry = registry
        self._families = families
        self._upstreams = upstreams

    def facts(self, device: str) -> dict[str, FactValue]:
        facts: dict[str, FactValue] = {"device.present": False} | self._registry.cloud_facts()
        if device:
            facts |= self._registry.device_facts(device)
        return with_upstreams(facts, self._upstreams)

    def prompt_tokens(self, model: str, messages: Sequence[tuple[str, str]]) -> int | None:
        family = self._families.get(model)
        if family is None or family.tokenizer is None:
            return None
        told = tuple(Message(_ROLES.get(role, role), content) for role, content in messages)
        return len(family.tokenizer.encode_chat(told))
