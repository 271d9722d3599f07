"""What trees are cut down to, and which stand only at the start."""

from __future__ import annotations

import pytest
from hypothesis import given

from policies.language.regex.parser import parse
from policies.language.regex.pattern import automaton_of
from policies.language.regex.tree import is_anchored, trimmed
from tests.policies.language.regex.samples import patterns, texts


@pytest.mark.parametrize(
    ("pattern", "rest"),
    [
        (".*a.*", "a"),
        ("a+b+", "ab"),
        ("^a*", "^"),
        ("a*$", "$"),
        ("(?:a|b*)c?", ""),
        ("a{2,5}", "a{2}"),
        ("(?:xa+){1,}", "xa"),
        ("(?:a|bc*)", "(?:a|b)"),
        ("ba*b", "ba*b"),
        ("a{0}", ""),
    ],
)
def test_trimmed(pattern: str, rest: str) -> None:
    assert trimmed(parse(pattern)) == parse(rest)


@given(patterns, texts)
def test_trimming_changes_no_answer(pattern: str, text: str) -> None:
    tree = parse(pattern)
    assert automaton_of(trimmed(tree)).search(text) is automaton_of(tree).search(text)


@pytest.mark.parametrize("pattern", ["^a", r"\Aa", "^a|^b", "(^a)+", "(?:^a|^b)c"])
def test_anchored(pattern: str) -> None:
    assert is_anchored(parse(pattern))


@pytest.mark.parametrize("pattern", ["a", "^a|b", "(^a)*b", "(?m)^a", "a$"])
def test_not_anchored(pattern: str) -> None:
    assert not is_anchored(parse(pattern))
