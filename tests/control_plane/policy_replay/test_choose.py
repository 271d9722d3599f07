"""The vector form decides as the compiled and the naive form do, row by row, errors included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.policy_replay import choose as module
from control_plane.policy_replay.choose import ERROR, positions
from control_plane.policy_replay.columns import Table
from policies.facts import INPUTS
from policies.language.checker import check
from policies.language.compile import compile_choice, inputs_of
from policies.language.declarations import Declaration, judge
from policies.language.evaluate import choose_naively
from policies.language.parser import parse
from policies.language.scope import Scope
from policies.language.typed import Typed
from policies.language.types import BOOL, BYTES, DOUBLE, DURATION, INT, STRING, UINT, Enum, List, Map
from policies.language.values import Duration, EvaluationError, Uint
from tests.policies.strategies import bools, ints, sound_facts, unsound_facts
from tests.policies.test_equivalence import document, trees_of

LEVEL = Enum("level", ("low", "mid", "high"), ordered=True)
DECLARED = {
    each.name: each
    for each in (
        Declaration("flag", BOOL),
        Declaration("b", BOOL, optional=True),
        Declaration("i", INT),
        Declaration("j", INT, default=3),
        Declaration("x", DOUBLE, optional=True),
        Declaration("y", DOUBLE),
        Declaration("s", STRING, optional=True),
        Declaration("t", STRING, default="t"),
        Declaration("level", LEVEL),
        Declaration("u", UINT, default=Uint(4)),
        Declaration("data", BYTES, optional=True),
        Declaration("span", DURATION, optional=True),
        Declaration("list", List(STRING), optional=True),
        Declaration("map", Map(STRING, INT), optional=True),
    )
}
BIG = 2**63 - 1
ROWS: tuple[dict[str, Any], ...] = (
    {"flag": True, "i": 1, "y": 0.5, "level": "low"},
    {"flag": False, "i": 0, "y": -0.0, "level": "high", "x": 2.0, "s": "aé", "b": True, "list": ["a"], "map": {"a": 1}},
    {"flag": True, "i": BIG, "y": 1e308, "level": "mid", "j": -7, "u": 9, "data": b"a", "span": Duration(5)},
    {"flag": False, "i": -BIG - 1, "y": float(2**63), "level": "mid", "j": -1, "b": False, "t": "zz", "s": ""},
    {"flag": True, "i": 2**53 + 1, "y": float(2**53), "level": "low", "x": float(2**53), "list": [], "map": {}},
    {"flag": 1, "i": 1, "y": 0.5, "level": "low"},
    {"flag": True, "i": True, "y": 3, "level": "low"},
    {"flag": True, "i": 2**63, "y": float("nan"), "level": "least"},
    {"flag": True, "i": 4, "y": 3, "level": "low", "x": 7, "u": 1, "list": ["b", 1], "map": {"a": True}},
    {},
)
EXPRESSIONS = (
    "flag",
    "!flag && i > 0",
    "i + j > 4",
    "i - j < 0 || flag",
    "i * 2 == 2",
    "i * j > 0",
    "-i < 0",
    "i / j == 0",
    "j / i >= 1 || flag",
    "i % j == 1",
    "j % -2 == -1",
    "x.orValue(1.5) * y > 2.0",
    "y / 0.0 > 1.0",
    "y / y == 1.0",
    "-y < 0.0 || y + 1.0 - y == 1.0",
    "has(x) && x > y",
    "!has(x) || x > 1.0",
    "i == y",
    "i != y",
    "double(i) == y",
    "i < y",
    "y >= i",
    "i in [1, 2, 9007199254740993]",
    "y in [0.5, 3.0]",
    "(i in [1, 2, 3] ? i : 2) == 2",
    "('ab' + t).size() * i > 3 || [i, j].size() == i",
    "level >= 'mid'",
    "level == 'high' && t == 't'",
    "level in ['low', 'mid']",
    "s.orValue('q') + t == 'qt'",
    "t.startsWith('z') || s.orValue('').size() > 1",
    "has(s) && s.matches('^a.*$')",
    "flag == (i > 0)",
    "(flag ? i : j) > 2",
    "(flag ? y : 1.0 / y) > 0.7",
    "flag ? 1 / i > 0 : level == 'mid'",
    "b.orValue(flag)",
    "b.orValue(i / j > 0)",
    "u > 3u",
    "data.orValue(b'') == b'a'",
    "has(span) && span > duration('1ns')",
    "has(list) && 'a' in list",
    "has(map) && map['a'] == 1",
    "[i, j].exists(e, e == 1)",
    "[1, 2].all(e, e > i)",
    "bucket(t, 'salt') < 50.0",
    "1 / j > 0 && flag",
    "1 / (j - 3) > 0",
    "true",
    "1 / 0 > 0",
    "i / (j - 3) < -5 && flag",
    "b.orValue(i / (j - 3) < -5)",
    "x.orValue(double(i / (j - 3))) > 1.5",
    "variables.number > 1 || variables.wrong > 1",
    "variables.word == 'lowt'",
    "variables.wrong > 0 && flag",
)
VARIABLES = {"number": "i + 1", "word": "(level + '') + t", "wrong": "1 / (i - 1)"}


def trees(expressions: Sequence[str]) -> tuple[list[Typed], list[Typed]]:
    """The typed trees of conditions and of VARIABLES."""
    known: dict[str, Any] = {}
    variables: list[Typed] = []
    for at, (name, text) in enumerate(VARIABLES.items()):
        tree, faults = check(parse(text)[0], Scope(DECLARED, {}, known), None)
        assert not faults
        variables.append(tree)
        known[f"variables.{name}"] = (at, tree.type)
    rules = []
    for text in expressions:
        tree, faults = check(parse(text)[0], Scope(DECLARED, {}, known), BOOL)
        assert not faults, (text, faults)
        rules.append(tree)
    return rules, variables


def scalar(rules: Sequence[Typed], variables: Sequence[Typed], facts: Mapping[str, Any]) -> int:
    """What all scalar forms give."""
    needed = inputs_of(rules, variables)
    trusting = compile_choice(rules, variables, judged=True)
    ways = (
        compile_choice(rules, variables),
        lambda given_: trusting(judge(given_, needed)),
        lambda given_: choose_naively(rules, variables, needed, given_),
    )
    found = set()
    for way in ways:
        try:
            found.add(way(facts))
        except EvaluationError:
            found.add(ERROR)
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_every_kind_of_expression(text: str) -> None:
    rules, variables = trees([text])
    table = Table.of(ROWS, inputs_of(rules, variables))
    assert positions(table, rules, variables).tolist() == [scalar(rules, variables, facts) for facts in ROWS]


def test_rules_in_order_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 3)
    rules, variables = trees(EXPRESSIONS[1:30])
    rows = [facts for facts in ROWS for _ in range(4)]
    table = Table.of(rows, DECLARED.values())
    assert positions(table, rules, variables).tolist() == [scalar(rules, variables, facts) for facts in rows]


def test_no_rows_and_no_rules() -> None:
    rules, variables = trees(["flag"])
    assert positions(Table.of([], DECLARED.values()), rules, variables).tolist() == []
    assert positions(Table.of(ROWS[:2], DECLARED.values()), []).tolist() == [0, 0]


def test_a_missing_column_is_the_callers_fault() -> None:
    rules, variables = trees(["flag"])
    with pytest.raises(KeyError, match="flag"):
        positions(Table.of(ROWS, [DECLARED["i"]]), rules, variables)


@settings(max_examples=40, deadline=None)
@given(
    st.builds(document, st.lists(bools, min_size=1, max_size=3), ints, bools),
    st.lists(sound_facts | unsound_facts, min_size=1, max_size=8),
)
def test_vector_is_compiled_is_naive(text: str, contexts: list[dict[str, Any]]) -> None:
    found = trees_of(text)
    got = positions(Table.of(contexts, INPUTS.values()), found.rules, found.variables)
    assert got.tolist() == [scalar(found.rules, found.variables, facts) for facts in contexts]
