"""Analysis of core policies against every context there is; of all policies against random contexts: never wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies import Decision, Policy, PolicyError
from policies.analysis import Proved, Refuted, analyse, difference
from tests.policies import strategies
from tests.policies.analysis import core_policies
from tests.policies.documents import with_rules

_few = settings(max_examples=8, deadline=None)


def _done(decision: Decision) -> Any:
    return (decision.mode, decision.fallback)


@_few
@given(core_policies.policies)
def test_the_report_says_what_all_contexts_show(policy: Policy) -> None:
    decisions = [policy.decide(facts) for facts in core_policies.contexts()]
    report = analyse(policy)

    reached = {decision.rule_id for decision in decisions}
    assert {each.rule_id for each in report.reach if each.result == "reached"} == reached
    assert all(each.result != "unknown" for each in report.reach)
    for each in report.reach:
        assert each.facts is None or policy.decide(each.facts).rule_id == each.rule_id
    broken = {name for decision in decisions for name in decision.clamped_by}
    assert {proof.invariant for proof in report.proofs if isinstance(proof, Refuted)} == broken
    assert {proof.invariant for proof in report.proofs if isinstance(proof, Proved)}.isdisjoint(broken)
    assert len(report.proofs) == 2


@_few
@given(core_policies.policies, core_policies.policies)
def test_the_difference_is_what_all_contexts_show(old: Policy, new: Policy) -> None:
    shown = set()
    for facts in core_policies.contexts():
        before, after = _done(old.decide(facts)), _done(new.decide(facts))
        if before != after:
            shown.add((before, after))
    changes = [change for change in difference(old, new) if "?" not in (change.facts or {}).values()]
    assert {(_done(change.old), _done(change.new)) for change in changes if change.old and change.new} == shown
    assert all(change.facts is not None for change in changes)


_open_rules = st.lists(st.tuples(strategies.bools, st.sampled_from(["edge", "cloud", "race"])), min_size=1, max_size=4)


def _load(rules: list[tuple[str, str]]) -> Policy:
    params = {"level": {"type": "request.sensitivity", "default": "personal"}}
    variables = [
        {"name": "number", "expr": "request.turns * 2"},
        {"name": "flag", "expr": "device.rtt_ms.orValue(1.0) / 2.0 > 30.0"},
    ]
    try:
        return Policy.load(with_rules(rules, params=params, variables=variables))
    except PolicyError as error:
        assume(any(problem.code != "too-costly" for problem in error.problems))
        raise


@settings(max_examples=12, deadline=None)
@given(_open_rules, _open_rules, st.lists(strategies.sound_facts, min_size=1, max_size=8))
def test_beyond_the_core_nothing_is_said_that_a_context_refutes(
    one: list[tuple[str, str]], other: list[tuple[str, str]], worlds: list[dict[str, Any]]
) -> None:
    policy, changed = _load(one), _load(other)
    report, changes = analyse(policy), difference(policy, changed)
    reach = {each.rule_id: each.result for each in report.reach}
    failing = {each.rule_id for each in report.findings if each.code in ("rule-can-fail", "not-known")}
    proved = {proof.invariant for proof in report.proofs if isinstance(proof, Proved)}
    for facts in worlds:
        decision, after = policy.decide(facts), changed.decide(facts)
        assert reach.get(decision.rule_id) not in ("contradictory", "shadowed")
        assert decision.rule_id != "onError" or failing
        assert proved.isdisjoint(decision.clamped_by)
        if _done(decision) != _done(after):
            assert any(
                (change.old_rule, change.new_rule) == (decision.rule_id, after.rule_id)
                if change.old is None or change.new is None
                else (_done(change.old), _done(change.new)) == (_done(decision), _done(after))
                for change in changes
            )
