"""What policies may know of a connected device and of the cloud workers: flat dotted names, stale values left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from control_plane.nodes.report import NodeReport
from edgewise.routing.tier import Tier
from policies.facts import FACTS, FactType, FactValue, drop_stale

_NUMBERS = (FactType.INT, FactType.DOUBLE)
_OWN = ("device.id", "device.present", "device.online", "device.model_version")


def device_facts(connection: NodeReport | None) -> dict[str, FactValue]:
    """Facts of a device. One that is not connected is not present, and nothing else is known of it."""
    if connection is None or not connection.live:
        return {"device.present": False, "device.online": False}
    told = _told(connection)
    fresh = drop_stale(told, dict.fromkeys(told, connection.heartbeat_age_s))
    return {**fresh, **_identity(connection)}


def cloud_facts(tiers: Sequence[Tier]) -> dict[str, FactValue]:
    """Facts of the cloud workers together."""
    facts: dict[str, FactValue] = {"cloud.available": bool(tiers), "cloud.workers": len(tiers)}
    loads = [tier.load() for tier in tiers]
    if not loads:
        return facts
    facts["cloud.queue_depth"] = sum(load.queued for load in loads)
    facts["cloud.load"] = min(1.0, sum(load.running for load in loads) / sum(load.slots for load in loads))
    return drop_stale(facts, dict.fromkeys(("cloud.queue_depth", "cloud.load"), min(load.age_s for load in loads)))


def _identity(connection: NodeReport) -> dict[str, FactValue]:
    hello = connection.hello
    facts: dict[str, FactValue] = {
        "device.id": hello.node_id,
        "device.present": bool(hello.models),
        "device.online": True,
    }
    if hello.models:
        facts["device.model_version"] = hello.models[0].version
    return facts


def _told(connection: NodeReport) -> dict[str, FactValue]:
    """What the last heartbeat says, without names and values that the facts table does not know."""
    beat = connection.heartbeat
    if beat is None:
        return {}
    told: dict[str, FactValue] = {"device.queue_depth": beat.load.running + beat.load.queued, **beat.device}
    if beat.load.tokens_per_s > 0:
        told.setdefault("device.tokens_per_s", beat.load.tokens_per_s)
    if beat.rtt_ms is not None:
        told["device.rtt_ms"] = beat.rtt_ms
    return {name: value for name, value in told.items() if name not in _OWN and _fits(name, value)}


def _fits(name: str, value: FactValue) -> bool:
    """Whether a value from outside is one that the table allows: a policy never sees NaN, or text for a number."""
    spec = FACTS.get(name)
    if spec is None or not name.startswith("device."):
        return False
    if spec.type in _NUMBERS:
        whole = spec.type is FactType.DOUBLE or isinstance(value, int)
        return whole and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if spec.type is FactType.BOOL:
        return isinstance(value, bool)
    return isinstance(value, str) and (not spec.enum or value in spec.enum)
