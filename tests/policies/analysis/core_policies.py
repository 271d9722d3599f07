"""Random policies of the decidable core over six facts, and every context that tells their constants apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from hypothesis import strategies as st

from policies import Policy
from tests.policies.documents import with_rules

VALUES: dict[str, tuple[Any, ...]] = {
    "request.origin": ("device", "control_plane"),
    "request.sensitivity": ("public", "internal", "personal", "secret"),
    "request.turns": (0, 1, 2, 3, 4),
    "device.present": (True, False),
    "device.rtt_ms": (None, 0.5, 1.0, 1.5, 2.0, 2.5),
    "request.tenant": ("", "a", "aa", "ab", "abx", "ad", "b", "d"),
}

_compare = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
_atoms = st.one_of(
    st.sampled_from(["device.present", "has(device.rtt_ms)", "request.turns in [1, 3]", "variables.near"]),
    st.sampled_from(
        ["request.tenant.startsWith('a')", "request.tenant.startsWith('ab')", "request.tenant in ['a', 'b']"]
    ),
    st.sampled_from(["(device.present ? 1 : 3) == request.turns", "device.present == (request.turns > 1)"]),
    st.builds("request.sensitivity {} '{}'".format, _compare, st.sampled_from(VALUES["request.sensitivity"])),
    st.builds("request.turns {} {}".format, _compare, st.sampled_from([1, 3])),
    st.builds("{} {} request.turns".format, st.sampled_from([1, 3]), _compare),
    st.builds("request.tenant {} '{}'".format, _compare, st.sampled_from(["a", "ab", "b"])),
    st.builds("device.rtt_ms.orValue({}) {} {}".format, st.sampled_from(["1.0", "2.0"]), _compare, st.just("2.0")),
    st.builds("(has(device.rtt_ms) && device.rtt_ms {} {})".format, _compare, st.sampled_from(["1.0", "2.0"])),
    st.builds("request.origin == '{}'".format, st.sampled_from(VALUES["request.origin"])),
)
conditions = st.recursive(
    _atoms.map("({})".format),
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!{}".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=4,
)
_rules = st.lists(st.tuples(conditions, st.sampled_from(["edge", "cloud", "prefer-edge", "refuse"])), max_size=6)


def _policy(rules: list[tuple[str, str]], forbidden: str) -> Policy:
    invariant = {"name": "own", "never": f"{forbidden} && decision.leaves_device"}
    variables = [{"name": "near", "expr": "device.rtt_ms.orValue(2.0) < 2.0"}]
    return Policy.load(with_rules(rules, invariants=[invariant], variables=variables))


policies = st.builds(_policy, _rules, conditions)


def contexts() -> Iterator[dict[str, Any]]:
    """Every combination of the values."""
    for values in product(*VALUES.values()):
        yield {name: value for name, value in zip(VALUES, values, strict=True) if value is not None}
