"""Small policy documents for tests, built from one line of what matters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from policies import Policy, PolicyError, Problem

HEAD = "apiVersion: edgewise/v1\nkind: RoutingPolicy\nmetadata: {name: small}\nspec:\n"
TAIL = "  default: {mode: race}\n  onError: {mode: edge}\n"


def with_rules(rules: Sequence[tuple[str, str]], /, **spec: Any) -> str:
    """A document whose rules are (when, mode) pairs named r0, r1, …; `spec` adds or replaces its parts."""
    listed = [{"id": f"r{at}", "when": when, "decide": {"mode": mode}} for at, (when, mode) in enumerate(rules)]
    whole = {"rules": listed, "default": {"mode": "race"}, "onError": {"mode": "edge"}, **spec}
    head = {"apiVersion": "edgewise/v1", "kind": "RoutingPolicy", "metadata": {"name": "small"}}
    return json.dumps({**head, "spec": whole})


def when(expression: str, **spec: Any) -> Policy:
    """A policy that answers "cloud" where the expression holds, else "race"."""
    return Policy.load(with_rules([(expression, "cloud")], **spec))


def holds(expression: str, facts: Mapping[str, Any] | None = None, **spec: Any) -> bool:
    """Whether the expression holds for harmless facts changed by `facts`; an evaluation error fails the test."""
    world = {"request.sensitivity": "public", "request.origin": "control_plane", **(facts or {})}
    decision = when(expression, **spec).decide(world)
    assert not decision.errors, decision.errors
    return decision.mode == "cloud"


def problems(text: str) -> tuple[Problem, ...]:
    """The problems of a document that must be refused."""
    try:
        Policy.load(text)
    except PolicyError as error:
        return error.problems
    raise AssertionError("the document was accepted")


def problem(text: str) -> Problem:
    """The one problem of a document."""
    found = problems(text)
    assert len(found) == 1, [str(one) for one in found]
    return found[0]


def expression_problem(expression: str, **spec: Any) -> Problem:
    """The one problem of a document with this expression as its only rule."""
    return problem(with_rules([(expression, "edge")], **spec))
