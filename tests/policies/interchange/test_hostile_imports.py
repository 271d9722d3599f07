"""Any text in any foreign format is a typed refusal or a policy that loads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import Policy, PolicyError
from policies.interchange import Imported, import_bifrost, import_cel_policy, import_litellm

IMPORTERS: list[Callable[[str], Imported]] = [import_cel_policy, import_bifrost, import_litellm]

_WORDS = """rule match condition output variables name expression id explanation governance routing_rules cel_expression
    targets provider model weight fallbacks scope model_list model_name litellm_params router_settings tags timeout *"""
_TEXTS = """true 'edge' variables.a variables.variables {'mode':'edge'} a?b:c ((( ollama/x / global team - 1e999 0x null
    yes request.turns>1 edgewise"""
_words = st.sampled_from(_WORDS.split())
_texts = st.sampled_from([*_TEXTS.split(), "\u2028", "\U0001f600", "a" * 5000])
_numbers = st.integers() | st.floats(allow_nan=False)
_leaves = _words | _texts | st.none() | st.booleans() | _numbers | st.text(max_size=8)
_trees = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words | _texts, inner, max_size=4),
    max_leaves=12,
)
_roots: list[Callable[[Any], Any]] = [
    lambda tree: {"name": "p", "rule": {"variables": [tree], "match": [tree, {"output": tree}, {"rule": tree}]}},
    lambda tree: {"rules": [tree, {"cel_expression": tree, "targets": [tree]}, {"targets": tree, "fallbacks": tree}]},
    lambda tree: {"model_list": [tree, {"model_name": tree, "litellm_params": tree}], "router_settings": tree},
]


def _is_sound(run: Callable[[str], Imported], text: str) -> None:
    try:
        imported = run(text)
    except PolicyError as error:
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)
        return
    Policy.load(imported.yaml_text)
    json.dumps(imported.to_dict())
    assert all(each.reason and each.line >= 1 for each in imported.unmapped)


@pytest.mark.parametrize("run", IMPORTERS)
@given(text=st.text(max_size=200))
@settings(max_examples=15, deadline=None)
def test_any_text_is_imported_or_refused(run: Callable[[str], Imported], text: str) -> None:
    _is_sound(run, text)


@pytest.mark.parametrize("at", range(3))
@given(tree=_trees)
@settings(max_examples=30, deadline=None)
def test_any_document_of_the_right_outline_is_imported_or_refused(at: int, tree: Any) -> None:
    _is_sound(IMPORTERS[at], json.dumps(_roots[at](tree)))


@pytest.mark.parametrize("run", IMPORTERS)
@pytest.mark.parametrize(
    "text", ["{" * 1000, "[" * 5000, "a: " * 3000, '"\\ud800"', "x: \x07", "é: &a [*a]", "!!python/x y"]
)
def test_known_attacks_are_refused(run: Callable[[str], Imported], text: str) -> None:
    with pytest.raises(PolicyError):
        run(text)
