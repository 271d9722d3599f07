"""A bundle decides what its policy decides, for any policy and any facts; any bytes are a bundle or a refusal."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies import Decision, Policy, PolicyError
from policies.bundle import BundleError, open_bundle
from policies.bundle.canonical import canonical_bytes
from policies.bundle.envelope import split
from policies.library import seed_text
from tests.policies.bundle.bundles import NOW_S, VERIFIER, Facts, contents, opened, packed, seed, signed, small
from tests.policies.documents import with_rules
from tests.policies.strategies import bools, ints, sound_facts, unsound_facts


def loaded(rules: list[str], number: str, flag: str, never: str) -> Policy:
    """A policy of these conditions; the costly ones are left out."""
    variables = [{"name": "number", "expr": number.replace("variables.number", "7")}]
    variables += [{"name": "flag", "expr": flag.replace("variables.flag", "true")}]
    params = {"level": {"type": "request.sensitivity", "default": "personal"}}
    invariants = [{"name": "never", "never": f"decision.mode == 'cloud' && ({never})"}]
    modes = ["cloud", "edge", "prefer-cloud"]
    listed = [(rule, modes[at % 3]) for at, rule in enumerate(rules)]
    try:
        return Policy.load(with_rules(listed, variables=variables, params=params, invariants=invariants))
    except PolicyError as error:
        assume({problem.code for problem in error.problems} != {"too-costly"})
        raise


policies_ = st.builds(loaded, st.lists(bools, min_size=1, max_size=3), ints, bools, bools)


@settings(max_examples=40, deadline=None)
@given(policies_, st.lists(sound_facts | unsound_facts, min_size=1, max_size=6))
def test_a_bundle_decides_as_the_control_plane_does(policy: Policy, contexts: list[dict[str, Any]]) -> None:
    bundle = opened(packed(policy.source))
    for facts in contexts:
        assert bundle.decide(facts) == policy.decide(facts)


@settings(max_examples=30, deadline=None)
@given(sound_facts | unsound_facts)
def test_the_seed_policy_decides_the_same(facts: dict[str, Any]) -> None:
    assert SEED.decide(facts) == SEED_POLICY.decide(facts)


SEED_POLICY = Policy.load(seed_text())
SEED = opened(seed())


def test_terms_and_rollouts_travel() -> None:
    rules = [
        {
            "id": "some",
            "when": "request.needs_fresh",
            "rollout": {"percent": 50, "by": "request.tenant"},
            "decide": {"mode": "cloud", "fallback": ["edge"], "timeout": {"total": "3s"}, "priority": 3},
        }
    ]
    policy = Policy.load(with_rules([], rules=rules))
    bundle = opened(packed(policy.source))
    world: Facts = {"request.sensitivity": "public", "request.origin": "device", "request.needs_fresh": True}
    decisions = [
        (bundle.decide(facts), policy.decide(facts)) for facts in [{**world, "request.tenant": t} for t in "abcdefgh"]
    ]
    assert all(ours == theirs for ours, theirs in decisions)
    assert {ours.rule_id for ours, _ in decisions} == {"some", "default"}
    assert {ours.terms.priority for ours, _ in decisions} == {3, None}


def test_packing_is_canonical() -> None:
    document = json.loads(Policy.load(seed_text()).canonical_json)
    assert packed(json.dumps(document)) == packed(json.dumps(document, indent=1)) == seed()
    assert canonical_bytes(contents(seed())) == split(seed()).payload


# ── any bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def take(raw: bytes) -> None:
    """A refusal, or a policy that works."""
    try:
        bundle = open_bundle(raw, VERIFIER, NOW_S)
    except BundleError as error:
        assert str(error)
        return
    near: Facts = {"request.sensitivity": "public", "request.origin": "device", "device.present": True}
    for facts in ({}, near):
        assert isinstance(bundle.decide(facts), Decision)
        assert not bundle.decide_safely(facts, "why").terms.fallback


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    take(raw)
    take(signed(raw))
    take(small()[:200] + raw)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to every part of JSON data."""
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for key, value in parts for found in _places(value, (*path, key)))]


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_under_a_good_signature(data: st.DataObject) -> None:
    payload = contents(SEED.raw)
    places = _places(payload)[1:]
    for _ in range(data.draw(st.integers(1, 2))):
        *path, key = data.draw(st.sampled_from(places))
        other = data.draw(_json | st.sampled_from(places).map(lambda place: _at(contents(SEED.raw), place)))
        try:
            _at(payload, tuple(path))[key] = other
        except (LookupError, TypeError):
            continue
    take(signed(canonical_bytes(payload)))
