"""The document: its shape, its limits, its places in YAML, its canonical form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies import MODES, Mode, Policy, PolicyError, Timeouts
from policies.library import seed_text
from tests.policies.documents import HEAD, TAIL, problem, problems, with_rules

RULE = "  rules:\n    - {id: a, when: 'true', decide: {mode: edge}}\n"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "empty-document", (1, 1)),
        ("a: [", "yaml-syntax", (1, 5)),
        ("a: \x00", "yaml-syntax", (1, 1)),
        ("a: b: c", "yaml-syntax", (1, 5)),
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
