"""What is refused, where, and in which words; and that nothing else is ever raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language import regex
from policies.language.regex.parser import MAX_DEPTH, MAX_PATTERN, MAX_PROGRAM, parse
from policies.language.regex.program import program_of
from tests.policies.language.regex.samples import patterns

REFUSED = [
    (r"(a)\1", 3, "backreference"),
    (r"a\8", 1, "backreference"),
    (r"a\k<n>", 1, "backreference"),
    ("(?P<n>a)(?P=n)", 8, "backreference"),
    ("a(?=b)", 1, "a second matches()"),
    ("a(?!b)", 1, "!matches()"),
    ("(?<=a)b", 0, "lookbehind"),
    ("(?<!a)b", 0, "lookbehind"),
    ("(?>a)", 0, "atomic"),
    ("(?#a)", 0, "comment"),
    ("a++", 2, "possessive"),
    ("a{2}+", 4, "possessive"),
    ("a**", 2, "(?:…)"),
    ("a*??", 3, "(?:…)"),
    ("*a", 0, r"write \*"),
    ("a|+", 2, "nothing before"),
    ("(?i)*", 4, "nothing before"),
    ("{2}", 0, "nothing before"),
    ("a{1001}", 1, "1000"),
    ("a{2,1001}", 1, "1000"),
    ("a{99999999999999999999}", 1, "1000"),
    ("a{3,2}", 1, "backwards"),
    ("(a", 0, "without its )"),
    ("a)", 1, "without its ("),
    ("[a", 0, "without its ]"),
    ("[", 0, "without its ]"),
    ("[]", 0, "without its ]"),
    ("[a-", 0, "without its ]"),
    ("[b-a]", 1, "backwards"),
    (r"[a-\d]", 3, "no escape"),
    (r"[\b]", 1, "no escape"),
    ("[[:alhpa:]]", 1, "[:alpha:]"),
    ("\\", 0, "at the end"),
    ("[\\", 1, "at the end"),
    (r"\Z", 0, r"\z"),
    (r"\C", 0, "characters"),
    (r"\é", 0, "no escape"),
    (r"\y", 0, "write y"),
    (r"\E", 0, r"\Q"),
    (r"\x4", 0, r"\x41"),
    (r"\x{}", 0, r"\x{41}"),
    (r"\x{41", 0, r"\x{41}"),
    (r"\x{110000}", 0, "10FFFF"),
    (r"\p", 0, "without a name"),
    (r"\p{Greek", 0, "without a name"),
    (r"\p{Greeek}", 0, "did you mean Greek?"),
    (r"\p{^}", 0, "no class"),
    ("(?z)", 0, "imsU"),
    ("(?", 0, "imsU"),
    ("(?i", 0, "imsU"),
    ("(?-)", 0, "imsU"),
    ("(?i--s)", 0, "imsU"),
    ("(?P<>a)", 0, "name"),
    ("(?P<a b>a)", 0, "name"),
    ("(?P<n", 0, "name"),
    ("(?P<n>a)(?P<n>b)", 8, "second group"),
]


@pytest.mark.parametrize(("pattern", "offset", "words"), REFUSED)
def test_refused(pattern: str, offset: int, words: str) -> None:
    with pytest.raises(regex.PatternError) as caught:
        regex.compile(pattern)
    assert caught.value.offset == offset
    assert words in caught.value.message


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:(?:a{100}){100}){100}",
        "a{1000}" * 4,
        "(?:(?:){1000}){1000}",
        "(?:" * (MAX_DEPTH + 1) + ")" * (MAX_DEPTH + 1),
        "a" * (MAX_PROGRAM + 1),
        "(?i)" * (MAX_PATTERN // 4 + 1),
        "[" + r"\pL" * 20 + "]",
        "".join(rf"[\pL{chr(0x2190 + n)}]" for n in range(20)),
    ],
)
def test_too_large(pattern: str) -> None:
    with pytest.raises(regex.PatternError, match=r"allowed|deeper|too large"):
        regex.compile(pattern)


def test_one_class_often_is_kept_once() -> None:
    assert regex.compile(r"\pL" * 500 + "1").search("é" * 600 + "1")


def test_the_deepest_pattern_that_is_allowed() -> None:
    pattern = "(?:b|x(?:" * (MAX_DEPTH // 2) + "a" + "){0,1})*" * (MAX_DEPTH // 2)
    assert regex.compile(pattern + "c").search("xxac")


@given(patterns)
def test_a_program_is_as_large_as_was_said(pattern: str) -> None:
    tree = parse(pattern)
    assert len(program_of(tree).code) <= tree.size + 1


_PIECES = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "?",
    "*",
    "+",
    "|",
    "^",
    "-",
    ":",
    "\\",
    "P",
    "<",
    "p",
    "x",
    "Q",
    "E",
    "1",
    ",",
    "a",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(_PIECES)).map("".join)), st.text())
def test_nothing_but_the_typed_error(pattern: str, text: str) -> None:
    try:
        assert regex.compile(pattern).search(text) in (True, False)
    except regex.PatternError as error:
        assert 0 <= error.offset <= len(pattern)
        assert error.message
