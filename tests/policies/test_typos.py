"""Typos in whole policies are refused and told where they are; python -m benchmarks.policy_typos does 1,000 of them."""

from __future__ import annotations

import pytest

from benchmarks.policy_typo_workload import Typo, places, typos
from benchmarks.policy_typos import Told, judged, policies, report
from policies import Policy, Problem
from tests.policies.documents import expression_problem, problems, with_rules

QUICK = {"seed": 60, "ten-rules": 60}


def test_typos_are_refused_and_told_at_the_right_line_and_column() -> None:
    found = judged(QUICK)
    assert len(found) == 120
    assert not [str(each) for each in found if each.problem is None]
    missed = [str(each) for each in found if not each.right]
    assert len(missed) <= 2, "\n".join(missed)


@pytest.mark.parametrize("name", policies())
def test_the_documents_are_sound_and_every_typo_changes_them(name: str) -> None:
    text = policies()[name]
    Policy.load_for_activation(text)
    drawn = typos(text, 100, 1)
    assert drawn == typos(text, 100, 1) and len({typo.text for typo in drawn}) == 100
    for typo in drawn:
        assert text == typo.text[: typo.start] + typo.was + typo.text[typo.end :]


@pytest.mark.parametrize(
    ("at", "right"), [(5, False), (6, True), (9, True), (11, True), (14, True), (15, False), (17, False)]
)
def test_a_caret_is_right_beside_what_was_mistyped_only(at: int, right: bool) -> None:
    #       0123456789012345678901
    text = "a && bc cde == f && g\n"
    typo = Typo(text, 8, 11, "a letter changed", "cdd")
    told = Told("p", typo, Problem("x", "", 1, at))
    assert told.right == right
    assert places(typo) == [(5, 14)]  # from bc to ==


def test_nothing_said_and_another_line_are_misses() -> None:
    typo = Typo("a\nbc\nd\n", 2, 4, "", "bb")
    assert Told("p", typo, Problem("x", "", 2, 1)).right
    assert not Told("p", typo, None).right
    assert not Told("p", typo, Problem("x", "", 3, 1)).right
    assert [row.ours for row in report([Told("p", typo, None)]).rows] == [0.0, 0.0]


# ── what the engine does for it ─────────────────────────────────────────────────────────────────────────────────────


def test_a_mistyped_key_is_told_once() -> None:
    text = with_rules([("true", "edge")]).replace('"when"', '"wehn"')
    assert [(each.code, each.suggestion) for each in problems(text)] == [("unknown-key", "did you mean when?")]
    text = with_rules([("true", "edge")]).replace('"default": {"mode"', '"default": {"mode:x"')
    assert [(each.code, each.suggestion) for each in problems(text)] == [
        ("unknown-key", "write mode: with a space behind it")
    ]


@pytest.mark.parametrize(
    ("expression", "code", "column_of", "told"),
    [
        ("device.rtt_ms.orVaule(0.0) > 5.0", "unknown-function", "orVaule", "there is no orVaule()"),
        ("device.rtt_msorValue(0.0) > 5.0", "unknown-function", "rtt_msorValue", "there is no rtt_msorValue()"),
        ("device.rtt_ms.orValue(0,0) > 5.0", "wrong-call", "orValue", "is not called like this"),
        ("request.turns 5", "syntax", "5", "is not expected here"),
        ("!(request.turns > 5 && device.present", "syntax", "(", "this bracket is not closed"),
        ("request.task in ['code', 'tool'", "syntax", "[", "this bracket is not closed"),
        ("request.task in ['code', 'tool]", "unclosed-string", "'tool", "no closing quote"),
    ],
)
def test_the_first_thing_told_is_what_was_mistyped(expression: str, code: str, column_of: str, told: str) -> None:
    text = with_rules([(expression, "edge")])
    found = problems(text)[0]
    assert (found.code, found.column) == (code, text.index(expression) + expression.index(column_of) + 1)
    assert told in found.message


def test_a_name_is_told_beside_a_fault_of_syntax_and_types_are_not() -> None:
    codes = [each.code for each in problems(with_rules([("request.tsk == 'code' && 1 && request.turns 5", "edge")]))]
    assert codes == ["unknown-name", "syntax"]
    assert expression_problem("request.turns && true").code == "wrong-type"
