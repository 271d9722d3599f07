"""What operators wish of tiers, as far as choosing one goes: wanted model versions first, labels in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from control_plane.model_versions.active import ActiveModels
from control_plane.nodes.wishes import NodeWishes, effective_labels
from edgewise.routing.tier import Tier

T = TypeVar("T", bound=Tier)


class OperatorWishes(Protocol):
    """Asked at every choice of tiers: memory only."""

    def prefer(self, tiers: Sequence[T], tenant: str) -> Sequence[T]:
        """The tiers that may serve this tenant, those with the wanted model version first."""
        ...

    def labels(self, node_id: str, own: Mapping[str, str]) -> Mapping[str, str]:
        """The labels in force of a node that says `own` of itself."""
        ...


class NoWishes:
    """Operators wish nothing."""

    def prefer(self, tiers: Sequence[T], tenant: str) -> Sequence[T]:
        return tiers

    def labels(self, node_id: str, own: Mapping[str, str]) -> Mapping[str, str]:
        return own


class FleetWishes:
    """The wishes that the admin API keeps. (A drained node is no tier at all: the registry leaves it out.)"""

    def __init__(self, active: ActiveModels, wishes: NodeWishes) -> None:
        self._active = active
        self._wishes = wishes

    def prefer(self, tiers: Sequence[T], tenant: str) -> Sequence[T]:
        return self._active.prefer(tiers, tenant)

    def labels(self, node_id: str, own: Mapping[str, str]) -> Mapping[str, str]:
        return effective_labels(own, self._wishes.of(node_id))
