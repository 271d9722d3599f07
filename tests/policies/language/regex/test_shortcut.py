"""Shortcuts answer as the automaton does, and are taken only where they are linear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.regex.parser import parse
from policies.language.regex.pattern import automaton_of
from policies.language.regex.shortcut import shortcut
from policies.language.regex.tree import trimmed
from tests.policies.language.regex.samples import anchored_patterns, patterns, texts


@given(st.one_of(patterns, anchored_patterns), texts)
def test_the_same_answer(pattern: str, text: str) -> None:
    search = shortcut(trimmed(parse(pattern)))
    if search is not None:
        assert search(text) is automaton_of(parse(pattern)).search(text)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "secret",
        "^gpt-",
        "-mini$",
        "^gpt$",
        "^(gpt|claude)-[0-9]+",
        ".*secret.*",
        "[0-9]+x?",
        "^[a-z]+-[0-9]+[.][0-9]+$",
        "^.*[.]local$",
        "(?i)(invoice|contract|salary)",
        r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b",
        "^(?:[0-9]{1,3}[.]){3}[0-9]{1,3}$",
        "^edgewise-(mini|small)(-[0-9]+)?$",
    ],
)
def test_taken(pattern: str) -> None:
    assert shortcut(trimmed(parse(pattern))) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "x[0-9]+y",
        "^(a+)+$",
        "^(a|aa)+$",
        "^.*a.*b",
        "^.*a[0-9]+b",
        "^(?:a+b|.*c)d$",
        "^a+a+b",
        "^a*(?:bc)?a*d",
        "^(?:x*y?)z*x*w",
        "xa{1,90}b",
        "(?:a?){8}b",
        "(?:a|b|ab){5}c",
        r"^\pL+$",
        "x.*y",
        "^(?:a*)?a*b",
    ],
)
def test_not_taken(pattern: str) -> None:
    assert shortcut(trimmed(parse(pattern))) is None
