"""From the targets of model gateways to decisions: which tier a provider is, shares of weighted targets, fallbacks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.interchange.foreign import Foreign
from policies.modes import Mode
from policies.source import Located

EDGE_PROVIDERS: Final = frozenset(
    {"edge", "device", "ollama", "ollama_chat", "llamacpp", "llama_cpp", "llamafile", "lmstudio", "lm_studio"}
)
"""Providers that run beside the user; all others are the cloud."""
STICKY_BY: Final = "request.tenant"
"""The key by which weighted targets are dealt, where the importer is given no other."""

_TIERS: Final = {Mode.EDGE: "edge", Mode.CLOUD: "cloud"}


@dataclass(frozen=True, slots=True)
class Target:
    """A provider's model. model: empty where the request's own is kept."""

    mode: Mode
    model: str = ""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A target and its weight among its neighbours, 0 or more."""

    target: Target
    weight: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """A target to be tried when the ones before it fail, and where it is written."""

    target: Target
    path: str
    node: Located


def target_of(provider: str, model: str, edge_providers: Collection[str]) -> Target:
    """The target of a provider; a cloud model keeps the provider in its name, as upstreams know it."""
    if provider.lower() in edge_providers:
        return Target(Mode.EDGE, model)
    return Target(Mode.CLOUD, f"{provider}/{model}" if provider and model else model)


def decide_of(foreign: Foreign, main: Target, others: Sequence[Alternative]) -> dict[str, Any]:
    """What a rule decides for a target with its fallbacks. A tier is tried once: further models of it are noted."""
    models = {_TIERS[main.mode]: main.model} if main.model else {}
    steps: list[Mode] = []
    for other in others:
        if other.target.mode in (main.mode, *steps):
            tier = _TIERS[other.target.mode]
            foreign.skip(other.path, other.node, f"a tier is tried once here, and the {tier} is tried already")
            continue
        steps.append(other.target.mode)
        if other.target.model:
            models[_TIERS[other.target.mode]] = other.target.model
    decide: dict[str, Any] = {"mode": str(main.mode), "fallback": [str(step) for step in steps]}
    return {**decide, "models": models} if models else decide


def shares(targets: Sequence[Weighted], by: str, salt: str) -> Iterator[tuple[Target, Mapping[str, Any] | None]]:
    """Each target with the rollout of its rule, the last one without: rules in this order split keys by weight.

    Rules of one salt have nested buckets, so that each needs the sum of the weights up to its own.
    """
    merged = _merged(targets)
    total = sum(merged.values())
    so_far = 0.0
    for target, weight in list(merged.items())[:-1]:
        so_far += weight
        yield target, {"percent": round(100.0 * so_far / total, 5), "by": by, "salt": salt[:200]}
    yield next(reversed(merged)), None


def _merged(targets: Sequence[Weighted]) -> dict[Target, float]:
    """Equal targets as one; those of no weight are never chosen, unless all are: then all are alike."""
    chosen = [each for each in targets if each.weight > 0.0] or [Weighted(each.target, 1.0) for each in targets]
    merged: dict[Target, float] = {}
    for each in chosen:
        merged[each.target] = merged.get(each.target, 0.0) + each.weight
    return merged
