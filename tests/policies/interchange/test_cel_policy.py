"""CEL Policy documents in and out: the same decisions, nested rules as cel-go has them, faults at their place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import Policy, PolicyError
from policies.interchange import export_cel_policy, import_cel_policy
from policies.interchange.trees import rewrite
from policies.language import syntax
from policies.language.parser import parse
from policies.library import seed_text
from policies.source import plain, read_source
from tests.policies.documents import with_rules
from tests.policies.interchange.foreign_documents import decide, left_out
from tests.policies.strategies import bools, sound_facts, unsound_facts

RICH = """
apiVersion: edgewise/v1
kind: RoutingPolicy
metadata: {name: rich, labels: {team: support}}
spec:
  context: {phase: admission}
  params:
    level: {type: request.sensitivity, default: internal}
    tenants: [acme, "1e5", "yes"]
    slow: {type: duration, default: 1h30m}
    below: -3
  variables:
    - {name: edgewise, expr: device.rtt_ms.orValue(1.0) * 2.0}
    - {name: grave, expr: params.level < request.sensitivity}
    - {name: known, expr: request.tenant.lower() in params.tenants}
  invariants:
    - {name: grave-stays, never: variables.grave && decision.leaves_device}
    - {name: no-race, always: decision.mode != "race" || request.turns > params.below}
  rules:
    - id: dealt
      when: variables.known || params.slow < duration("1h")
      rollout: {percent: 12.5, by: device.id, salt: "a\\"é😀"}
      decide:
        mode: cloud
        fallback: [{mode: edge, maxTokens: 64, reason: "the cloud is away: #1"}, refuse]
        timeout: {soft: 300ms, firstToken: 2s, total: 1m}
        models: {edge: ">=2.1 <3", cloud: large}
        redact: personal
        pacing: {tokensPerSecond: 25}
        priority: -3
        budget: {maxTokens: 100, maxCost: 5}
    - {id: twice, when: variables.edgewise > 100.0, decide: {mode: prefer-cloud}}
    - {id: order, when: '"personal" <= request.sensitivity', decide: {mode: edge, reason: "no"}}
    - {id: macro, when: '["a"].exists(params, params == request.tenant)', decide: {mode: refuse}}
  default: {mode: race}
  onError: {mode: cloud, fallback: edge, reason: null}
  tests:
    - {name: one, expect: {mode: race}}
"""


def _there_and_back(text: str) -> tuple[Policy, Policy]:
    policy = Policy.load(text)
    imported = import_cel_policy(export_cel_policy(policy).yaml_text)
    assert imported.unmapped == () and imported.problems == ()
    return policy, Policy.load(imported.yaml_text)


def _decided(policy: Policy, facts: dict[str, Any]) -> dict[str, Any]:
    decision = policy.decide(facts).to_dict()
    return {key: value for key, value in decision.items() if key != "policy_digest"}


SEED, SEED_AGAIN = _there_and_back(seed_text())
RICH_POLICY, RICH_AGAIN = _there_and_back(RICH)


@given(facts=sound_facts | unsound_facts)
@settings(max_examples=40, deadline=None)
def test_a_policy_that_comes_back_decides_the_same(facts: dict[str, Any]) -> None:
    assert _decided(SEED, facts) == _decided(SEED_AGAIN, facts)
    assert _decided(RICH_POLICY, facts) == _decided(RICH_AGAIN, facts)


_MORE = {"params": {"level": {"type": "request.sensitivity", "default": "personal"}}}
_VARIABLES = [
    {"name": "number", "expr": "request.turns + 1"},
    {"name": "flag", "expr": "request.needs_fresh || request.turns > 2"},
]


@given(rules=st.lists(st.tuples(bools, st.sampled_from(["edge", "cloud", "refuse"])), max_size=3), facts=sound_facts)
@settings(max_examples=25, deadline=None)
def test_expressions_of_every_kind_come_back(rules: list[tuple[str, str]], facts: dict[str, Any]) -> None:
    try:
        policy = Policy.load(with_rules(rules, variables=_VARIABLES, **_MORE))
    except PolicyError:
        return
    again = Policy.load(import_cel_policy(export_cel_policy(policy).yaml_text).yaml_text)
    assert _decided(policy, facts) == _decided(again, facts)


def test_what_other_engines_do_not_do_is_told() -> None:
    exported = export_cel_policy(RICH_POLICY)
    told = {each.path: each for each in exported.unmapped}
    assert told["spec.rules[0].rollout"].reason == "other engines need the function bucket"
    assert told["spec.invariants[0]"].value == "grave-stays"
    assert told["spec.params.tenants"].reason == "written out where it is used"
    assert {"spec.onError", "privacy", "spec.tests"} <= told.keys()


def test_other_engines_read_conditions_without_our_types_and_params() -> None:
    document = plain(read_source(export_cel_policy(RICH_POLICY).yaml_text))
    assert set(document) == {"name", "rule"} and set(document["rule"]) == {"variables", "match"}
    expressions = {each["name"]: each["expression"] for each in document["rule"]["variables"][2:]}
    assert document["rule"]["variables"][1]["expression"] == "device.?rtt_ms.orValue(1.0) * 2.0"
    assert expressions == {
        "grave": 'request.sensitivity in ["personal", "secret"]',
        "known": 'request.tenant.lowerAscii() in ["acme", "1e5", "yes"]',
    }
    conditions = [match.get("condition", "") for match in document["rule"]["match"]]
    assert 'bucket(device.?id.orValue(""), \'a"é😀\') < 12.5' in conditions[0]
    assert conditions[2] == 'request.sensitivity in ["personal", "secret"]'
    assert conditions[3] == '["a"].exists(params, params == request.tenant)'
    assert conditions[4] == ""


# ── policies of others ──────────────────────────────────────────────────────────────────────────────────────────────

NESTED = """
name: nested policy
rule:
  variables:
    - {name: near, expression: "['acme', 'zoo']"}
    - {name: at_home, expression: "{'mode': 'edge', 'priority': 3}"}
  match:
    - condition: who in variables.near
      rule:
        id: close
        variables:
          - {name: near, expression: "['acme']"}
        match:
          - {condition: "size(request.task) == 4 && who in variables.near", output: variables.at_home}
          - {condition: request.needs_fresh, output: "'cloud'", explanation: "'news: ask the cloud'"}
    - rule:
        match:
          - {condition: request.turns > 5, output: "request.turns > 9 ? {'mode': 'refuse'} : {'mode': 'race'}"}
    - {condition: 'true', output: "{'mode': 'prefer-edge'}"}
    - {output: "'cloud'"}
"""


@pytest.mark.parametrize(
    ("facts", "mode"),
    [
        ({"request__tenant": "acme", "request__task": "code"}, "edge"),
        ({"request__tenant": "zoo", "request__task": "code", "request__needs_fresh": True}, "cloud"),
        ({"request__tenant": "zoo", "request__task": "code"}, "refuse"),
        ({"request__tenant": "zoo", "request__turns": 7}, "refuse"),
        ({"request__tenant": "other", "request__turns": 7}, "race"),
        ({"request__tenant": "other", "request__turns": 10}, "refuse"),
        ({"request__tenant": "other"}, "prefer-edge"),
    ],
)
def test_nested_rules_decide_as_in_cel_go(facts: dict[str, Any], mode: str) -> None:
    imported = import_cel_policy(NESTED, names={"who": "request.tenant"})
    assert imported.problems == ()
    assert left_out(imported) == {"rule.match[3]": "never reached: a match before it always gives an output"}
    assert decide(imported, **facts).mode == mode


def test_a_nested_rule_keeps_ids_reasons_and_terms() -> None:
    imported = import_cel_policy(NESTED, names={"who": "request.tenant"})
    news = decide(imported, request__tenant="zoo", request__needs_fresh=True)
    assert (news.rule_id, news.reason) == ("close-2", "news: ask the cloud")
    assert decide(imported, request__tenant="acme", request__task="code").terms.priority == 3
    assert decide(imported, request__tenant="zoo").rule_id == "close-nothing"


@pytest.mark.parametrize("fact", ["device.model_version", "request.model"])
def test_optional_selections_read_the_fact_that_is_named(fact: str) -> None:
    match = [{"condition": "resource.?user.orValue('').startsWith('bad')", "output": "'edge'"}]
    text = json.dumps({"name": "p", "rule": {"match": match}})
    imported = import_cel_policy(text, names={"resource.user": fact})
    assert decide(imported, **{fact.replace(".", "__"): "bad one"}).mode == "edge"
    assert decide(imported, **{fact.replace(".", "__"): None}).mode == "refuse"


def test_variables_hide_those_around_them_and_are_told_when_nothing_can_read_them() -> None:
    inner = {"variables": [{"name": "i", "expression": "variables.i + 5"}], "match": []}
    inner["match"] = [{"condition": "variables.i + variables.ij == 8", "output": "'edge'"}]
    variables = [("i", "1"), ("ij", "2"), ("own", "{'mode': 'cloud', 'priority': 2}"), ("ow", "{'a': 1, 'b': 'c'}")]
    rule = {
        "variables": [{"name": name, "expression": expression} for name, expression in variables],
        "match": [{"condition": "request.turns == 1", "rule": inner}, {"output": "variables.own"}],
    }
    imported = import_cel_policy(json.dumps({"name": "p", "rule": rule}))
    assert list(left_out(imported)) == ["rule.variables[3]"]
    assert decide(imported).mode == "edge"
    assert decide(imported, request__turns=2).mode == "cloud"


def test_a_variable_that_cannot_be_read_still_hides_the_one_around_it() -> None:
    inner = {
        "variables": [{"name": "i", "expression": "resource.x"}],
        "match": [{"condition": "variables.i == 1", "output": "'edge'"}],
    }
    rule = {"variables": [{"name": "i", "expression": "1"}], "match": [{"rule": inner}, {"output": "'cloud'"}]}
    imported = import_cel_policy(json.dumps({"name": "p", "rule": rule}))
    assert "was left out" in left_out(imported)["rule.match[0].rule.match[0].condition"]
    assert decide(imported).mode == "cloud"


def test_a_rule_that_always_holds_keeps_its_name_and_what_follows() -> None:
    match = [{"output": "{'mode': 'edge', 'rule': 'all'}"}, {"output": "'cloud'"}]
    imported = import_cel_policy(json.dumps({"name": "p", "rule": {"match": match}}))
    assert imported.unmapped == ()
    assert decide(imported).rule_id == "all"
    assert Policy.load(imported.yaml_text).document.default.mode == "cloud"


def test_outputs_of_others_are_told_or_named() -> None:
    text = (
        "name: p\nrule:\n  match:\n    - {condition: request.needs_fresh, output: \"'deny'\"}\n    - {output: 'true'}\n"
    )
    blind = import_cel_policy(text)
    assert set(left_out(blind)) == {"rule.match[0].output", "rule.match[1].output"}
    assert decide(blind).mode == "refuse"
    told = import_cel_policy(text, outputs={'"deny"': {"mode": "refuse"}, "true": {"mode": "cloud"}})
    assert left_out(told) == {} and decide(told).mode == "cloud"


@pytest.mark.parametrize(
    ("match", "path", "reason"),
    [
        ("{condition: resource.origin == 'x', output: \"'edge'\"}", "rule.match[0].condition", "there is no resource"),
        ("{condition: device.rtt_ms > 5.0, output: \"'edge'\"}", "rule.match[0].condition", "may be absent or stale"),
        ("{condition: 'true', output: \"{'mode': 'edge', 'x': 1}\"}", "rule.match[0].output.x", "means nothing here"),
        ("{condition: 'true', output: \"{'mode': 'fly'}\"}", "rule.match[0].output", "is no mode"),
        ("{output: \"'edge'\", explanation: request.task}", "rule.match[0].explanation", "fixed text"),
        ("{output: \"'edge'\", aggregate: x}", "rule.match[0].aggregate", "nothing is known"),
    ],
)
def test_what_has_no_counterpart_is_told_with_its_place(match: str, path: str, reason: str) -> None:
    imported = import_cel_policy(f"name: p\nimports: [{{name: a.B}}]\nrule:\n  match:\n    - {match}\n")
    assert reason in left_out(imported)[path]
    assert left_out(imported)["imports"] == "there are no message types here"
    assert {each.line for each in imported.unmapped if each.path == path} == {5}
    Policy.load(imported.yaml_text)


def test_faults_are_told_at_their_place_in_the_foreign_text() -> None:
    head = "name: p\nrule:\n  match:\n    - condition: request.turns >\n"
    text = head + "      output: '\"edge\"'\n    - output: '\"cloud\"'\n"
    imported = import_cel_policy(text)
    (problem,) = imported.problems
    assert (problem.code, problem.line) == ("syntax", 4)
    assert left_out(imported) == {"rule.match[0]": "left out with its condition"}
    assert decide(imported).mode == "cloud"


@pytest.mark.parametrize(
    "text", ["", "[]", "name: x", "rule: 3", "a: &b 1", "rule: {match: [}", "\x00", '{"rule": []}']
)
def test_what_is_no_policy_is_refused_with_a_place(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        import_cel_policy(text)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in caught.value.problems)


def test_more_than_a_document_holds_is_told() -> None:
    matches = [{"condition": f"request.turns == {at}", "output": "'edge'"} for at in range(300)]
    rules = [{"rule": {"match": matches}} for _ in range(4)]
    imported = import_cel_policy(json.dumps({"name": "many", "rule": {"match": rules}}))
    assert len(Policy.load(imported.yaml_text).document.rules) == 1000
    assert "at most 1000 rules" in left_out(imported)["rule.match[3].rule.match[299].output"]


def test_too_costly_rules_are_left_out() -> None:
    costly = "[1,2,3,4,5,6,7,8,9,10]"
    text = "true"
    for name in "abcde":
        text = f"{costly}.all({name}, {text})"
    match = [{"condition": text, "output": "'edge'"}, {"output": "'cloud'"}]
    imported = import_cel_policy(json.dumps({"name": "dear", "rule": {"match": match}}))
    assert "steps" in left_out(imported)["rule.match[0].output"]
    assert decide(imported).mode == "cloud"


# ── rewriting ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("x + [1].map(x, x + 1)[0]", 1),
        ("[x].exists(x, x > 1)", 1),
        ("[1].exists(x, [2].exists(y, x == y))", 0),
        ("cel.bind(x, x + 1, x * 2) == x", 2),
        ("{'a': x}.all(k, x, x > 1)", 1),
        ("optional.of(x).optMap(x, x)", 1),
        ("[1].all(y, .x == y && x == y)", 2),
        ("[1].exists(x, .x == 1)", 1),
    ],
)
def test_names_that_macros_bind_are_not_seen_as_free(text: str, seen: int) -> None:
    found: list[syntax.Node] = []

    def look(node: syntax.Node, bound: frozenset[str]) -> None:
        if isinstance(node, syntax.Ident) and node.name == "x" and (node.absolute or "x" not in bound):
            found.append(node)

    rewrite(parse(text)[0], look)
    assert len(found) == seen


def test_no_macro_captures_a_name_that_is_put_in() -> None:
    text = (
        "name: p\nrule:\n  match:\n    - {condition: \"['a'].exists(request, request == who)\", output: \"'edge'\"}\n"
    )
    imported = import_cel_policy(text, names={"who": "request.tenant"})
    assert ".request.tenant" in imported.yaml_text
    assert decide(imported, request__tenant="a").mode == "edge"
    assert decide(imported, request__tenant="b").mode == "refuse"
