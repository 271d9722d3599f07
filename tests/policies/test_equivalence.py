"""Compiled policies decide as the naive evaluator does, for any policy and any facts; nothing ever raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies import Decision, Policy, PolicyError, leaves_device
from policies.build import Trees, build_trees
from policies.language.compile import compile_choice, inputs_of
from policies.language.evaluate import choose_naively
from policies.language.values import EvaluationError
from policies.modes import SUPPORTED_MODES
from policies.read import read_document
from policies.source import read_source
from tests.policies.documents import with_rules
from tests.policies.strategies import bools, ints, sound_facts, unsound_facts


def trees_of(text: str) -> Trees:
    """The typed trees of a sound document."""
    document, problems = read_document(read_source(text), SUPPORTED_MODES)
    trees, more = build_trees(document, text)
    assume(not more or {problem.code for problem in more} != {"too-costly"})
    assert not problems and not more, [*problems, *more]
    return trees


def document(rules: list[str], number: str, flag: str) -> str:
    """A document of these conditions, whose variables are `number` and `flag`."""
    variables = [{"name": "number", "expr": number.replace("variables.number", "7")}]
    variables += [{"name": "flag", "expr": flag.replace("variables.flag", "true")}]
    params = {"level": {"type": "request.sensitivity", "default": "personal"}}
    return with_rules([(rule, "cloud") for rule in rules], variables=variables, params=params)


def outcome(choose: Callable[[Mapping[str, Any]], int], facts: Mapping[str, Any]) -> int | str:
    """What a way of choosing comes to: a position, or an error."""
    try:
        return choose(facts)
    except EvaluationError:
        return "error"


policies_ = st.builds(document, st.lists(bools, min_size=1, max_size=3), ints, bools)


@settings(max_examples=80, deadline=None)
@given(policies_, st.lists(sound_facts | unsound_facts, min_size=1, max_size=8))
def test_compiled_is_naive(text: str, contexts: list[dict[str, Any]]) -> None:
    trees = trees_of(text)
    compiled = compile_choice(trees.rules, trees.variables)
    needed = inputs_of(trees.rules, trees.variables)
    for facts in contexts:
        naive = outcome(lambda f: choose_naively(trees.rules, trees.variables, needed, f), facts)
        assert outcome(compiled, facts) == naive


def loaded(text: str) -> Policy:
    """The policy; one that random expressions made too costly is drawn again."""
    try:
        return Policy.load(text)
    except PolicyError as error:
        assume({problem.code for problem in error.problems} != {"too-costly"})
        raise


@settings(max_examples=60, deadline=None)
@given(policies_, unsound_facts, bools)
def test_decide_never_raises_and_keeps_private_text_home(text: str, facts: dict[str, Any], never: str) -> None:
    policy = loaded(text)
    decision = policy.decide(facts)
    assert Decision.from_dict(decision.to_dict()) == decision
    known_harmless = facts.get("request.sensitivity") in ("public", "internal")
    if not known_harmless and facts.get("request.origin") != "control_plane":
        assert not any(leaves_device(step) for step in (decision.mode, *decision.fallback))


@settings(max_examples=25, deadline=None)
@given(policies_, sound_facts)
def test_explain_tells_the_decision(text: str, facts: dict[str, Any]) -> None:
    policy = loaded(text)
    decision, explanation = policy.decide(facts), policy.explain(facts)
    assert explanation.decision.mode == decision.mode and explanation.decision.rule_id == decision.rule_id
    matched = [trace.rule_id for trace in explanation.rules if trace.outcome == "matched"]
    assert decision.rule_id == "onError" or matched == ([] if decision.rule_id == "default" else [decision.rule_id])
