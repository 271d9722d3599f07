"""The context of a document, facts of later phases, and facts of types that the table does not have yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from policies import FACTS, FactSpec, FactType, Policy, Problem
from policies.build import Trees, build_trees
from policies.document import Document
from policies.facts import CONTEXT, PHASES
from policies.language.compile import compile_choice
from policies.language.values import Duration
from policies.modes import SUPPORTED_MODES
from policies.read import read_document
from policies.source import read_source
from tests.policies.documents import problem, with_rules

LATER = FactSpec("answer.confidence", FactType.DOUBLE, "how sure the edge is", optional=True, phase="answer")
SESSION = FactSpec("answer.voice", FactType.STRING, "who speaks", phase="answer", default="")
AGE = FactSpec("device.uptime", FactType.DURATION, "since the device started", optional=True)
GROUPS = FactSpec("request.groups", FactType.TEXTS, "groups of the caller", default=())
HEADERS = FactSpec("request.marks", FactType.TEXT_MAP, "marks of the request", optional=True)
TABLE: Mapping[str, FactSpec] = {**FACTS, **{spec.name: spec for spec in (LATER, SESSION, AGE, GROUPS, HEADERS)}}


def built(text: str) -> tuple[Document, Trees, list[Problem]]:
    """A document over the wider table, its trees, and what is wrong with it."""
    document, problems = read_document(read_source(text), SUPPORTED_MODES, TABLE)
    trees, more = build_trees(document, text, TABLE)
    return document, trees, [*problems, *more]


def at(phase: str, expression: str, **spec: Any) -> list[Problem]:
    """The problems of one expression in a phase."""
    return built(with_rules([(expression, "edge")], context={"ref": CONTEXT, "phase": phase}, **spec))[2]


def test_left_out_is_admission() -> None:
    said = Policy.load(with_rules([("true", "edge")], context={"ref": "routing-context/v1", "phase": "admission"}))
    silent = Policy.load(with_rules([("true", "edge")]))
    assert said.document.context == silent.document.context
    assert (silent.document.context.ref, silent.document.context.phase) == (CONTEXT, "admission")
    assert said.warnings == silent.warnings == ()


@pytest.mark.parametrize(
    ("context", "code", "expected"),
    [
        ({"ref": "routing-context/v2"}, "unknown-word", CONTEXT),
        ({"phase": "admision"}, "unknown-word", "admission, answer"),
        ({"phase": 1}, "unknown-word", "admission, answer"),
        ({"fase": "answer"}, "unknown-key", "ref, phase"),
        ("admission", "wrong-type", "ref, phase"),
    ],
)
def test_a_context_without_sense(context: Any, code: str, expected: str) -> None:
    found = problem(with_rules([("true", "edge")], context=context))
    assert found.code == code and expected in found.expected


@pytest.mark.parametrize(
    "expression", ["answer.confidence.orValue(1.0) < 0.5", "has(answer.confidence)", "answer.voice == 'x'"]
)
def test_a_fact_of_a_later_phase_is_not_known_yet(expression: str) -> None:
    (found,) = at("admission", expression)
    assert found.code == "not-known-yet" and "answer" in found.suggestion and found.rule_id == "r0"
    assert at("answer", expression) == []


def test_invariants_and_variables_obey_the_phase() -> None:
    variables = [{"name": "sure", "expr": "has(answer.confidence)"}]
    invariants = [{"name": "i", "never": "answer.voice == 'x' && decision.leaves_device"}]
    found = at("admission", "true", variables=variables, invariants=invariants)
    assert [problem.code for problem in found] == ["not-known-yet", "not-known-yet"]
    assert at("answer", "true", variables=variables, invariants=invariants) == []


def test_facts_of_earlier_phases_stay_known() -> None:
    assert at("answer", "request.needs_fresh && device.uptime.orValue(duration('1h')) < duration('2h')") == []


def test_a_rollout_needs_a_key_of_its_phase() -> None:
    rule = {"id": "a", "when": "true", "rollout": {"percent": 5, "by": "answer.voice"}, "decide": {"mode": "edge"}}
    early = built(with_rules([], rules=[rule]))[2]
    assert [problem.code for problem in early] == ["unknown-word"]
    assert built(with_rules([], rules=[rule], context={"phase": "answer"}))[2] == []


def test_nothing_decides_in_the_phase_answer_yet() -> None:
    (warning,) = Policy.load(with_rules([("true", "edge")], context={"phase": "answer"})).warnings
    assert (warning.code, warning.severity) == ("not-carried-out", "warning")


def test_every_fact_has_a_phase() -> None:
    assert {spec.phase for spec in FACTS.values()} <= set(PHASES)


# ── types of facts ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expression", "facts", "place"),
    [
        ("'ops' in request.groups", {"request.groups": ["dev", "ops"]}, 0),
        ("'ops' in request.groups", {}, 1),
        ("request.groups + ['a'] == ['a']", {}, 0),
        ("request.groups.exists(g, g.startsWith('o'))", {"request.groups": ("ops",)}, 0),
        ("has(request.marks) && request.marks['x'] == 'y'", {"request.marks": {"x": "y"}}, 0),
        ("has(request.marks)", {}, 1),
        ("device.uptime.orValue(duration('1m')) > duration('30s')", {}, 0),
        ("has(device.uptime) && device.uptime > params.young", {"device.uptime": Duration(31_000_000_000)}, 0),
        ("has(device.uptime) && device.uptime > params.young", {"device.uptime": Duration(30_000_000_000)}, 1),
    ],
)
def test_wider_types_are_read(expression: str, facts: dict[str, Any], place: int) -> None:
    params = {"young": {"type": "duration", "default": "30s"}}
    _, trees, found = built(with_rules([(expression, "edge")], params=params))
    assert found == []
    assert compile_choice(trees.rules, trees.variables)(facts) == place


def test_tests_give_wider_types() -> None:
    given = {"request.groups": ["a"], "request.marks": {"x": "y"}, "device.uptime": "1h30m"}
    document, _, found = built(
        with_rules([("true", "edge")], tests=[{"name": "t", "given": given, "expect": {"rule": "r0"}}])
    )
    assert found == []
    assert document.tests[0].given == {**given, "device.uptime": Duration(5_400_000_000_000)}


@pytest.mark.parametrize(
    "given", [{"request.groups": "a"}, {"request.groups": [1]}, {"request.marks": ["x"]}, {"device.uptime": 3}]
)
def test_a_wider_value_of_a_wrong_type(given: dict[str, Any]) -> None:
    text = with_rules([("true", "edge")], tests=[{"name": "t", "given": given, "expect": {"rule": "r0"}}])
    assert [problem.code for problem in built(text)[2]] == ["wrong-value"]
