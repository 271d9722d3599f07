"""The smallest explaining context: which facts, in an otherwise healthy world, bring about the same change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from policies.facts import FACTS, typical_facts

Holds = Callable[[Mapping[str, Any]], bool]


def smallest_context(facts: Mapping[str, Any], holds: Holds) -> dict[str, Any]:
    """The facts that must differ from the typical world for `holds` to stay true; None: must be absent.

    `holds(facts)` is true, and pure. No single fact of the result can be given up; a smaller set of quite other facts
    may exist. One call for each fact, and again for as long as something could be given up.
    """
    typical = typical_facts({})
    world = {name: facts.get(name) for name in FACTS}
    different = [name for name, value in world.items() if value != typical.get(name)]
    while given_up := [name for name in different if _can_go(world, name, typical, holds)]:
        different = [name for name in different if name not in given_up]
    return {name: world[name] for name in different}


def _can_go(world: dict[str, Any], name: str, typical: Mapping[str, Any], holds: Holds) -> bool:
    """Make a fact typical in `world`, if that changes nothing."""
    kept = world[name]
    world[name] = typical.get(name)
    if holds(world):
        return True
    world[name] = kept
    return False
