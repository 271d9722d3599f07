"""What patterns mean, case by case as RE2 has it, and against Python's `re` where both mean the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given

from policies.language import regex
from tests.policies.language.regex.samples import shared_patterns, texts

YES = [
    ("", ""),
    ("", "cows"),
    ("bc", "abcd"),
    ("gr(a|e)y", "grey"),
    ("ba(na)*", "banana"),
    ("a+ñ+a+", "mañana"),
    ("(a|😀){2}", "🐱😀😀"),
    ("^(gpt|claude)-[0-9]+", "claude-35"),
    ("a.c", "aéc"),
    ("(?s)a.c", "a\nc"),
    ("[^a]", "\n"),
    ("(?i)straSSe", "STRASSE"),
    ("(?i)k", "\u212a"),
    ("(?i)[s]", "ſ"),
    ("(?i)σ", "ς"),
    ("(?i:a)b", "Ab"),
    ("(?i)a(?-i)b", "Ab"),
    ("(?i-s:A)", "a"),
    ("a|(?i)b|c", "C"),
    ("((?i)a)b", "Ab"),
    ("(?m)^b$", "a\nb\nc"),
    ("(?-m)a$", "a"),
    ("(?U)a+b", "aab"),
    ("(?U)a+?b", "aab"),
    ("(?)a", "a"),
    (r"\Aa\z", "a"),
    (r"\bfoo\b", "a foo."),
    (r"\bé", "aé"),
    (r"\B", ""),
    (r"a\Bb", "ab"),
    (r"^\d{3}$", "123"),
    (r"^\s$", "\f"),
    (r"^\w+$", "aZ_9"),
    (r"\W", "é"),
    ("a{,2}", "a{,2}"),
    ("a{x}", "a{x}"),
    ("a{02}", "a{02}"),
    ("a{2", "a{2"),
    ("^a{2,}$", "aaa"),
    ("^a{0}$", ""),
    ("^(a{2}){2}$", "aaaa"),
    ("^a{1000}$", "a" * 1000),
    ("}", "}"),
    ("]", "]"),
    ("[]a]", "]"),
    ("[^]a]", "b"),
    ("[a-]", "-"),
    ("[-a]", "-"),
    ("[a-c-e]", "-"),
    (r"[\d-z]", "-"),
    (r"[\]]", "]"),
    ("[[:alpha:]]", "q"),
    ("[[:^alpha:]_]", "1"),
    ("[[:word:]-]", "-"),
    ("[:alpha:]", "p"),
    ("[[:a]", ":"),
    ("[[]", "["),
    (r"\pL", "é"),
    (r"\p{Greek}", "α"),
    (r"\p{^Greek}", "a"),
    (r"\P{^Greek}", "α"),
    (r"\PN", "x"),
    (r"[\p{Han}x]", "你"),
    (r"\p{Any}", "\n"),
    (r"(?i)\p{Lu}", "a"),
    (r"\Q.*\E+", ".***"),
    (r"\Qa.", "a."),
    (r"a\Q\E*", "b"),
    (r"\x41\x{1F600}", "A😀"),
    (r"\101\07\0\777", "A\a\0\u01ff"),
    (r"\a\f\t\n\r\v", "\a\f\t\n\r\v"),
    (r"\.\/\_\-\ ", "./_- "),
    ("(?P<year>a)(?<b>b)", "ab"),
    ("(|a)*b", "b"),
    ("(a*)*b", "aab"),
    ("(?:^|,)b", "a,b"),
    ("a||b", ""),
    ("()", ""),
    ("^*a", "a"),
    ("a(?i)*b", "b"),
    ("a*(?i)*b", "b"),
    (r"(?:a\b|ab)c", "abc"),
]
NO = [
    ("a", ""),
    ("a.c", "a\nc"),
    ("^b", "a\nb"),
    ("a$", "a\n"),
    (r"a\z", "a\n"),
    (r"\d", "٣"),
    (r"\w", "é"),
    (r"\s", "\v"),
    (r"\s", "\u00a0"),
    ("(?i)[^k]", "\u212a"),
    (r"(?i)\W", "ſ"),
    ("(?i)ß", "ss"),
    ("(?i)ı", "I"),
    ("(?-i)a", "A"),
    ("((?i)a)b", "AB"),
    (r"[^\x00-\x{10FFFF}]", "a"),
    (r"\b", "é"),
    (r"a\bb", "ab"),
    (r"\p{Greek}", "a"),
    (r"\pL", "1"),
    ("^a{2,3}$", "aaaa"),
    ("^(?:a|b)+$", "abc"),
    (r"a\A", "aa"),
    (r"\zb", "b"),
    (r"(?m)^$", "a\nb"),
    ("^(gpt|claude)-[0-9]+", "my-gpt-4"),
]


@pytest.mark.parametrize(("pattern", "text"), YES)
def test_found(pattern: str, text: str) -> None:
    assert regex.compile(pattern).search(text) is True


@pytest.mark.parametrize(("pattern", "text"), NO)
def test_not_found(pattern: str, text: str) -> None:
    assert regex.compile(pattern).search(text) is False


@given(shared_patterns, texts)
@example("(?:a|ab)(?:c|bcd)(?:d*)", "abcd")
def test_as_python_where_both_mean_the_same(pattern: str, text: str) -> None:
    ours = regex.compile(pattern.replace(r"\Z", r"\z"))
    assert ours.search(text) is bool(re.search(pattern, text, re.ASCII))


def test_a_pattern_tells_its_source_and_size() -> None:
    pattern = regex.compile("^a{3}b")
    assert (pattern.source, pattern.size) == ("^a{3}b", 7)
