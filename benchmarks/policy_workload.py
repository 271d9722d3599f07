"""What the policy benchmark decides: ten ordered rules over 17 typed fields, more of the same kind, and contexts."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

RULES: Final = (
    "request.sensitivity == 'secret' && device.present",
    "device.battery_pct < 20.0 && !device.charging && cloud.available",
    "device.cpu_temp_c > 85.0 || device.memory_pct > 92.0",
    "!cloud.available || device.link == 'none'",
    "cloud.load > 0.9 && cloud.queue_depth > 20",
    "request.task in ['code', 'tool'] && request.complexity > 0.6",
    "request.context_tokens > 4096 && device.rtt_ms < 80.0",
    "request.user_tier.startsWith('gold-') && request.complexity > 0.3",
    "request.model.matches('^edgewise-(mini|small)(-[0-9]+)?$')",
    "device.queue_depth > 4 && !(device.link in ['wifi', 'ethernet'])",
)
"""In CEL. Request 6, device 8, cloud 3 fields; and, or, not, comparisons, lists, a prefix, a regular expression."""
MODES: Final = ("edge", "cloud", "prefer-edge", "prefer-cloud", "race")
CEDAR_RULES: Final = (
    'context.request.sensitivity == "secret" && context.device.present',
    "context.device.battery_pct < 20000 && !context.device.charging && context.cloud.available",
    "context.device.cpu_temp_c > 85000 || context.device.memory_pct > 92000",
    '!context.cloud.available || context.device.link == "none"',
    "context.cloud.load > 900 && context.cloud.queue_depth > 20",
    '["code", "tool"].contains(context.request.task) && context.request.complexity > 600',
    "context.request.context_tokens > 4096 && context.device.rtt_ms < 80000",
    'context.request.user_tier like "gold-*" && context.request.complexity > 300',
    'context.request.model == "edgewise-mini" || context.request.model == "edgewise-small" || '
    'context.request.model like "edgewise-mini-*" || context.request.model like "edgewise-small-*"',
    'context.device.queue_depth > 4 && !(["wifi", "ethernet"].contains(context.device.link))',
)
"""The same in Cedar, which has neither doubles (thousandths stand in) nor regular expressions (patterns stand in)."""

_ORVALUE: Final = {
    "device.battery_pct": "100.0",
    "device.charging": "false",
    "device.cpu_temp_c": "0.0",
    "device.memory_pct": "0.0",
    "device.rtt_ms": "0.0",
    "device.link": "'unknown'",
    "device.queue_depth": "0",
    "cloud.load": "0.0",
    "cloud.queue_depth": "0",
}
"""Telemetry is optional for us, and must be given a value where it is absent; the peers know no absence."""
_NAMES: Final = re.compile("|".join(map(re.escape, _ORVALUE)))

Context = dict[str, Any]


def contexts(count: int, seed: int = 5) -> list[Context]:
    """Random contexts, flat, all 17 fields present; about one in six meets no rule."""
    draw = random.Random(seed)
    return [_context(draw) for _ in range(count)]


def _context(draw: random.Random) -> Context:
    return {
        "request.sensitivity": draw.choice(["public", "public", "internal", "personal", "secret"]),
        "request.task": draw.choice(["greeting", "factual", "creative", "code", "tool"]),
        "request.complexity": draw.randrange(1000) / 1000,
        "request.context_tokens": draw.randrange(8000),
        "request.user_tier": draw.choice(["standard", "silver-2", "gold-1", "gold-9"]),
        "request.model": draw.choice(["edgewise", "edgewise-mini", "edgewise-small-2", "other"]),
        "device.present": draw.random() < 0.8,
        "device.battery_pct": draw.randrange(100_000) / 1000,
        "device.charging": draw.random() < 0.5,
        "device.cpu_temp_c": draw.randrange(30_000, 90_000) / 1000,
        "device.memory_pct": draw.randrange(20_000, 95_000) / 1000,
        "device.rtt_ms": draw.randrange(200_000) / 1000,
        "device.link": draw.choice(["wifi", "wifi", "ethernet", "cellular", "none"]),
        "device.queue_depth": draw.randrange(8),
        "cloud.available": draw.random() < 0.95,
        "cloud.load": draw.randrange(1000) / 1000,
        "cloud.queue_depth": draw.randrange(40),
    }


WORST: Final[Context] = {
    "request.sensitivity": "public",
    "request.task": "factual",
    "request.complexity": 0.5,
    "request.context_tokens": 500,
    "request.user_tier": "standard",
    "request.model": "edgewise",
    "device.present": True,
    "device.battery_pct": 80.0,
    "device.charging": False,
    "device.cpu_temp_c": 45.0,
    "device.memory_pct": 50.0,
    "device.rtt_ms": 40.0,
    "device.link": "wifi",
    "device.queue_depth": 0,
    "cloud.available": True,
    "cloud.load": 0.2,
    "cloud.queue_depth": 0,
}
"""Meets no rule: all are evaluated."""


def nested(context: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A context as the peers take it: `{"request": {"task": …}, …}`."""
    out: dict[str, dict[str, Any]] = {}
    for name, value in context.items():
        group, field = name.split(".")
        out.setdefault(group, {})[field] = value
    return out


def rules(count: int) -> list[str]:
    """So many rules for us: the ten again and again, moved a little, so that no two are the same.

    Beyond a hundred without the regular expression: the bound on a whole policy's steps allows about forty of them.
    """
    kinds = RULES if count <= 100 else tuple(rule for rule in RULES if "matches" not in rule)
    return [_NAMES.sub(_given, _moved(kinds[at % len(kinds)], at // len(kinds))) for at in range(count)]


def _given(name: re.Match[str]) -> str:
    return f"{name[0]}.orValue({_ORVALUE[name[0]]})"


def _moved(rule: str, by: int) -> str:
    """A rule with a threshold or a text changed, and one clause more; WORST still does not meet it."""
    if not by:
        return rule
    if "user_tier" in rule or "model" in rule:
        return rule.replace("gold-", f"gold-{by}").replace("-(mini", f"{by}-(mini")
    lower = re.sub(r"< (\d+)\.0", lambda number: f"< {int(number[1]) - by / 100}", rule)
    return f"({lower}) && request.turns < {1000 + by}"


def document(conditions: Sequence[str]) -> str:
    """A RoutingPolicy with these conditions, as JSON, which is YAML."""
    listed = [
        {"id": f"r{at}", "when": when, "decide": {"mode": MODES[at % len(MODES)]}} for at, when in enumerate(conditions)
    ]
    spec = {"rules": listed, "default": {"mode": "race"}, "onError": {"mode": "edge"}}
    head = {"apiVersion": "edgewise/v1", "kind": "RoutingPolicy", "metadata": {"name": "bench"}}
    return json.dumps({**head, "spec": spec})


FACTS: Final[Context] = {"request.origin": "control_plane", "request.turns": 1}
"""What Policy.decide needs beyond the 17 fields: its privacy invariant asks where the request came in."""
