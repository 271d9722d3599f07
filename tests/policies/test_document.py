"""The document: its shape, its limits, its places in YAML, its canonical form."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import MODES, Mode, Policy, PolicyError, Problem, Timeouts, typical_facts
from policies.language.values import Duration
from policies.library import seed_text
from tests.policies.documents import HEAD, TAIL, holds, problem, problems, with_rules

RULE = "  rules:\n    - {id: a, when: 'true', decide: {mode: edge}}\n"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "empty-document", (1, 1)),
        ("a: [", "yaml-syntax", (1, 5)),
        ("a: \x00", "yaml-syntax", (1, 1)),
        ("a: b: c", "yaml-syntax", (1, 4)),
        ("- 1", "wrong-type", (1, 1)),
        ("a: &x 1\nb: *x", "alias", (1, 4)),
        ("a: !!python/object:os.system 1", "tag", (1, 4)),
        ("a: 1\na: 2", "double-key", (2, 1)),
        ("? [1]\n: 2", "key", (1, 3)),
        ("a: 1\n---\nb: 2", "many-documents", (2, 1)),
        ('a: "\\ud83d"', "half-character", (1, 4)),
        ("[" * 40 + "]" * 40, "too-deep", (1, 18)),
        ("a: " + "x" * 300_000, "too-large", (1, 1)),
        ("- a\n" * 30_000, "too-large", (20_000, 3)),
    ],
)
def test_no_such_document(text: str, code: str, place: tuple[int, int]) -> None:
    found = problems(text)[0]
    assert (found.code, found.line, found.column) == (code, *place)


@pytest.mark.parametrize(
    ("spec", "code", "place", "remedy"),
    [
        (TAIL, "missing-key", (5, 3), "add rules:"),
        (RULE + "  default: {mode: edge}\n", "missing-key", (5, 3), "add onError:"),
        (RULE + TAIL + "  defualt: 1\n", "unknown-key", (9, 3), "default"),
        ("  rules: {}\n" + TAIL, "wrong-type", (5, 10), "dash"),
        ("  rules:\n    - {id: a, when: 'true'}\n" + TAIL, "missing-key", (6, 7), "add decide:"),
        ("  rules:\n    - {id: a b, when: 'true', decide: {mode: edge}}\n" + TAIL, "name", (6, 12), ""),
        ("  rules:\n    - {id: default, when: 'true', decide: {mode: edge}}\n" + TAIL, "double-name", (6, 12), ""),
        ("  rules:\n    - {id: a, when: [], decide: {mode: edge}}\n" + TAIL, "wrong-type", (6, 21), ""),
        ("  rules:\n    - {id: a, when: 'true', decide: {mode: edeg}}\n" + TAIL, "unknown-word", (6, 44), "edge"),
        ("  rules:\n    - {id: a, when: 'true', decide: {mode: upgrade}}\n" + TAIL, "unsupported-mode", (6, 44), ""),
        (RULE + "  default: {mode: edge, fallback: edge}\n  onError: {mode: edge}\n", "double-name", (7, 35), ""),
        (RULE + "  default: {mode: edge, fallback: race}\n  onError: {mode: edge}\n", "unsupported-mode", (7, 35), ""),
        (RULE + "  default: {mode: edge, timeout: {total: 2}}\n  onError: {mode: edge}\n", "duration", (7, 42), ""),
        (
            RULE + "  default: {mode: edge, timeout: {firstToken: 3s, total: 2s}}\n  onError: {mode: edge}\n",
            "out-of-bounds",
            (7, 34),
            "",
        ),
        (RULE + TAIL + "  params: {a: {default: 3, max: 2}}\n", "out-of-bounds", (9, 25), ""),
        (RULE + TAIL + "  params: {a: {type: duoble, default: 3}}\n", "unknown-word", (9, 22), "did you mean"),
        (RULE + TAIL + "  params: {a: {type: int, default: 3.5}}\n", "wrong-value", (9, 36), ""),
        (RULE + TAIL + "  params: {a-b: 1}\n", "name", (9, 12), ""),
        (RULE + TAIL + "  invariants: [{name: a}]\n", "missing-key", (9, 16), "never"),
        (RULE + TAIL + "  tests: [{name: t, expect: {rule: b}}]\n", "unknown-word", (9, 36), ""),
        (RULE + TAIL + "  tests: [{name: t, expect: {}}]\n", "wrong-type", (9, 29), ""),
        (
            RULE + TAIL + "  tests: [{name: t, given: {device.rtt: 1}, expect: {rule: a}}]\n",
            "unknown-name",
            (9, 29),
            "rtt",
        ),
        (
            RULE + TAIL + "  tests: [{name: t, given: {request.task: cod}, expect: {rule: a}}]\n",
            "wrong-value",
            (9, 43),
            "code",
        ),
    ],
)
def test_a_fault_and_its_place(spec: str, code: str, place: tuple[int, int], remedy: str) -> None:
    found = problem(HEAD + spec)
    assert (found.code, found.line, found.column) == (code, *place), str(found)
    assert remedy in found.suggestion


@pytest.mark.parametrize(
    ("scalar", "line"),
    [
        ("true && oops", 6),
        ("'true && oops'", 6),
        ('"true && oops"', 6),
        ("\"'\\x61' == 'a' && oops\"", 6),
        ("'''a'' == ''a'' && oops'", 6),
        ("true\n        && oops", 7),
        ("|-\n        true\n        && oops", 8),
        (">-\n        true &&\n          oops", 8),
    ],
)
def test_expressions_are_located_in_every_style(scalar: str, line: int) -> None:
    text = f"{HEAD}  rules:\n    - when: {scalar}\n      id: a\n      decide: {{mode: edge}}\n{TAIL}"
    found = problem(text)
    assert (found.code, found.line) == ("unknown-name", line)
    assert text.splitlines()[found.line - 1][found.column - 1 :].startswith("oops")


@pytest.mark.parametrize("word", ["yes", "on", "1:30", "0o7", "2024-01-01", "1_000"])
def test_old_yaml_words_are_strings(word: str) -> None:
    text = f"{HEAD}{RULE}{TAIL}  params: {{a: {word}}}\n"
    assert Policy.load(text).document.params[0].value == word


def test_limits() -> None:
    rule = {"when": "true", "decide": {"mode": "edge"}}
    many = [{"id": f"r{n}", **rule} for n in range(1001)]
    assert problem(with_rules([], rules=many)).code == "too-many"
    assert len(Policy.load(with_rules([], rules=many[:1000])).document.rules) == 1000


def test_an_outcome_in_full() -> None:
    decide = {"mode": "cloud", "fallback": ["edge", "refuse"], "timeout": {"firstToken": "500ms", "total": "1m"}}
    rule = {"id": "a", "when": "true", "decide": {**decide, "reason": "因为"}}
    decision = Policy.load(with_rules([], rules=[rule])).decide({})
    assert decision.mode is Mode.REFUSE  # no facts: private, for all that is known
    outcome = Policy.load(with_rules([], rules=[rule])).document.rules[0].outcome
    assert outcome.fallback == (Mode.EDGE, Mode.REFUSE)
    assert outcome.timeouts == Timeouts(0.5, 60.0)
    assert outcome.reason == "因为"


def test_preferences_imply_the_other_tier() -> None:
    rules = Policy.load(
        with_rules([("true", "prefer-edge"), ("true", "prefer-cloud"), ("true", "race")])
    ).document.rules
    assert [rule.outcome.fallback for rule in rules] == [(Mode.CLOUD,), (Mode.EDGE,), ()]


def test_modes_of_later_runners() -> None:
    text = with_rules([("true", "cascade")])
    with pytest.raises(PolicyError, match="one of edge, cloud, prefer-edge, prefer-cloud, race, refuse"):
        Policy.load(text)
    assert Policy.load(text, supported_modes=MODES).document.rules[0].outcome.mode is Mode.CASCADE


def test_yaml_and_json_have_one_digest() -> None:
    policy = Policy.load(seed_text())
    again = Policy.load(policy.canonical_json)
    pretty = Policy.load(json.dumps(json.loads(policy.canonical_json), indent="\t"))
    assert policy.digest == again.digest == pretty.digest
    assert again.canonical_json == policy.canonical_json
    assert len(policy.digest) == 64 and int(policy.digest, 16)


@pytest.mark.parametrize(
    "value", ["你好 😀", "line\nbreak", "\x7f \x85 \u2028", 'q"uote\\', " ", "true", "1", 1, 1.5, 1e300, False]
)
def test_canonical_form_keeps_every_value(value: Any) -> None:
    policy = Policy.load(with_rules([], params={"a": value}).replace("\x7f", "\\u007f"))
    assert policy.document.params[0].value == value
    again = Policy.load(policy.canonical_json)
    assert again.document.params == policy.document.params and again.digest == policy.digest


def test_the_message_shows_line_and_caret() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.load(HEAD + "  rules:\n    - {id: a, when: request.tsk == 'code', decide: {mode: edge}}\n" + TAIL)
    assert str(caught.value) == (
        "small:6:29: unknown-name: there is no request.tsk (rule a)\n"
        "        - {id: a, when: request.tsk == 'code', decide: {mode: edge}}\n"
        "                                ^\n"
        "    try: did you mean request.task?"
    )
    assert caught.value.problems[0].to_dict()["rule_id"] == "a"


# ── params of wider types ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("param", "type_", "value"),
    [
        ({"type": "duration", "default": "1h30m"}, "duration", Duration(5_400_000_000_000)),
        ({"type": "duration", "default": "250ms", "min": "0s", "max": "1s"}, "duration", Duration(250_000_000)),
        ({"type": "list(string)", "default": ["a", "b"]}, "list(string)", ("a", "b")),
        ({"default": ["a"]}, "list(string)", ("a",)),
        (["a", "true"], "list(string)", ("a", "true")),
        ([], "list(string)", ()),
    ],
)
def test_params_of_wider_types(param: Any, type_: str, value: Any) -> None:
    (found,) = Policy.load(with_rules([], params={"p": param})).document.params
    assert (found.type, found.value) == (type_, value) and type(found.value) is type(value)


@pytest.mark.parametrize(
    ("param", "code"),
    [
        ({"type": "duration", "default": "soon"}, "wrong-value"),
        ({"type": "duration", "default": 30}, "wrong-value"),
        ({"type": "duration", "default": "2s", "max": "1s"}, "out-of-bounds"),
        ({"type": "list(string)", "default": "a"}, "wrong-value"),
        ({"type": "list(string)", "default": ["a", 1]}, "wrong-value"),
        ({"type": "int", "default": [1]}, "wrong-value"),
        ({"default": ["a"] * 65}, "wrong-value"),
        ({"default": ["a"], "min": 1}, "wrong-type"),
        ({"default": {"a": 1}}, "wrong-type"),
        ([["a"]], "wrong-value"),
    ],
)
def test_params_of_wider_types_without_sense(param: Any, code: str) -> None:
    assert problem(with_rules([], params={"p": param})).code == code


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("request.tenant in params.tenants", True),
        ("request.user_tier in params.tenants", False),
        ("size(params.tenants) == 2 && params.tenants[1] == 'zoo'", True),
        ("params.tenants.exists(t, request.tenant.startsWith(t))", True),
        ("params.tenants + ['x'] == ['acme', 'zoo', 'x']", True),
        ("duration('2m') > params.patience", True),
        ("params.patience.getSeconds() == 90", True),
    ],
)
def test_params_of_wider_types_in_expressions(expression: str, expected: bool) -> None:
    params = {"tenants": ["acme", "zoo"], "patience": {"type": "duration", "default": "90s"}}
    assert holds(expression, {"request.tenant": "acme"}, params=params) is expected


def test_a_list_of_words_is_checked_against_the_enum_where_it_is_used() -> None:
    text = with_rules([("request.task in params.hard", "edge")], params={"hard": ["code", "toll"]})
    found = problem(text)
    assert found.code == "unknown-word" and "'tool'" in found.suggestion
    assert text[found.column - 1 :].startswith("params.hard")


# ── warnings ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_warnings_never_refuse_and_stand_in_the_order_of_the_text() -> None:
    spec = """\
  params: {used: 1, idle: 2}
  variables:
    - {name: base, expr: request.turns + params.used}
    - {name: busy, expr: variables.base > 1}
    - {name: idle, expr: variables.base > 2}
  rules:
    - {id: a, when: variables.busy, decide: {mode: edge}}
    - {id: b, when: "true", decide: {mode: edge}}
    - {id: c, when: request.turns > 2, decide: {mode: edge}}
    - {id: d, when: request.turns > 3, decide: {mode: edge, redact: none}}
"""
    policy = Policy.load_for_activation(HEAD + spec + TAIL)
    assert [(w.code, w.line, w.column, w.rule_id) for w in policy.warnings] == [
        ("unused", 5, 21, ""),
        ("unused", 9, 26, ""),
        ("never-reached", 13, 7, "c"),
        ("not-carried-out", 14, 69, "d"),
    ]
    assert {warning.severity for warning in policy.warnings} == {"warning"}
    assert policy.warnings[2].message == "c is never reached, nor is what follows it: b always holds"


def test_a_rule_for_a_share_leaves_some_to_those_behind_it() -> None:
    rollout = {"percent": 50, "by": "device.id"}
    rules = [{"id": "a", "when": "true", "rollout": rollout, "decide": {"mode": "edge"}}]
    rules += [{"id": "b", "when": "true", "decide": {"mode": "cloud"}}]
    assert Policy.load(with_rules([], rules=rules)).warnings == ()


def test_an_invariant_uses_params_and_variables() -> None:
    variables = [{"name": "v", "expr": "request.turns > params.p"}]
    invariants = [{"name": "i", "never": "variables.v && decision.leaves_device"}]
    text = with_rules([("false", "edge")], params={"p": 1}, variables=variables, invariants=invariants)
    assert Policy.load(text).warnings == ()


def test_warnings_are_not_among_the_problems_of_a_refused_document() -> None:
    text = with_rules([("true", "edge"), ("oops", "edge")], params={"idle": 1})
    assert [found.code for found in problems(text)] == ["unknown-name"]


def test_the_seed_gives_no_warnings() -> None:
    assert Policy.load(seed_text()).warnings == ()


# ── one document in two forms ───────────────────────────────────────────────────────────────────────────────────

_WORDS = st.sampled_from(
    ["a", "b c", "yes", "1:30", "0o7", "12e3", "null", "true", "7", "", "你好", "x: y", "# z", "~"]
)
_TEXTS = _WORDS | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=6)
_EXPRESSIONS = st.sampled_from(
    [
        "true",
        "request.turns > 1",
        "request.tsk == 'code'",
        "'a' == request.model && oops",
        "1 / 0 == 1",
        "1 +",
        "7",
        "params.p == params.p",
        "request.tenant in ['a', \"b c\"]",
        "device.rtt_ms > 1.0",
        "request.task == 'cod'",
    ]
)
_OUTCOMES = st.fixed_dictionaries(
    {"mode": st.sampled_from(["edge", "cloud", "prefer-edge", "edeg", "cascade"])},
    optional={
        "fallback": st.sampled_from(["edge", "refuse", ["cloud", "refuse"], [{"mode": "edge", "maxTokens": 1}], 3]),
        "reason": _TEXTS | st.integers(),
        "timeout": st.sampled_from([{"total": "2s"}, {"firstToken": "3s", "total": "2s"}, {"total": 2}]),
        "priority": st.integers(-12, 12) | st.sampled_from([1.5, "1", True]),
        "models": st.fixed_dictionaries({}, optional={"edge": _TEXTS, "phone": _TEXTS}),
    },
)
_ROLLOUTS = st.fixed_dictionaries(
    {"percent": st.sampled_from([0, 12.5, 50, 101, "5", 0.1234567]), "by": st.sampled_from(["device.id", "device.i"])},
    optional={"salt": _TEXTS},
)
_RULES = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["a", "b", "c d"]), "when": _EXPRESSIONS, "decide": _OUTCOMES},
        optional={"rollout": _ROLLOUTS},
    ),
    max_size=3,
)
_PARAMS = st.sampled_from([1, 1.5, 1e300, True, ["a", "yes"], {"type": "duration", "default": "2s"}, {"default": {}}])
_SPECS = st.fixed_dictionaries(
    {"rules": _RULES, "default": _OUTCOMES, "onError": _OUTCOMES},
    optional={
        "params": st.dictionaries(st.sampled_from(["p", "q", "a-b"]), _TEXTS | _PARAMS, max_size=2),
        "context": st.sampled_from([{"phase": "answer"}, {"ref": "x"}]),
        "surplus": st.just(1),
    },
)


class Quoting(yaml.SafeDumper):
    """Writes texts in quotes, since it knows an older YAML, in which other words must be quoted; and no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'"))


def attempt(text: str) -> tuple[Any, tuple[Problem, ...]]:
    """The digest and some decisions of a document, or None, and its problems or warnings."""
    try:
        policy = Policy.load(text)
    except PolicyError as error:
        return None, error.problems
    decisions = [policy.decide(typical_facts({"request.turns": turns})) for turns in (1, 2)]
    return (policy.digest, decisions), policy.warnings


def told(text: str, problem: Problem) -> tuple[str, ...]:
    """A problem without its line and column, and with the word that stands there instead."""
    there = text.splitlines()[problem.line - 1][problem.column - 1 :]
    word = re.match(r"[{\[\"'\\ -]*([\w.]*)", there)
    shown = word[1] if word else ""
    return problem.code, problem.message, problem.rule_id, problem.expected, problem.suggestion, problem.severity, shown


@settings(max_examples=60, deadline=None)
@given(_SPECS, st.booleans())
def test_yaml_and_json_are_one_document(spec: dict[str, Any], flow: bool) -> None:
    whole = {"apiVersion": "edgewise/v1", "kind": "RoutingPolicy", "metadata": {"name": "x"}, "spec": spec}
    as_json = json.dumps(whole, ensure_ascii=False)
    as_yaml = yaml.dump(
        whole, Dumper=Quoting, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=10_000
    )
    ours, our_problems = attempt(as_yaml)
    theirs, their_problems = attempt(as_json)
    assert ours == theirs
    assert [told(as_yaml, found) for found in our_problems] == [told(as_json, found) for found in their_problems]
