"""Named classes against Python's own tables."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.regex.classes import PERL, POSIX, unicode_class, unicode_names
from policies.language.regex.ranges import contains
from policies.language.regex.scripts import SCRIPTS


@given(st.characters())
def test_categories_are_those_of_python(char: str) -> None:
    category = unicodedata.category(char)
    known = unicode_class(category)
    group = unicode_class(category[0])
    if category == "Cn":
        assert known is None
        assert group is not None
        assert not contains(group, ord(char))
    else:
        assert known is not None
        assert group is not None
        assert contains(known, ord(char))
        assert contains(group, ord(char))


@pytest.mark.parametrize(
    "point", [0x33FF, 0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xAC00, 0xD7A3, 0xD800, 0xDFFF, 0xE000, 0xF8FF, 0xF900]
)
def test_the_seams_of_long_stretches(point: int) -> None:
    for near in (point - 1, point, point + 1):
        for category in ("Lo", "So", "Cs", "Co"):
            ranges = unicode_class(category)
            assert ranges is not None
            assert contains(ranges, near) == (unicodedata.category(chr(near)) == category)


@pytest.mark.parametrize("name", unicode_names())
def test_every_class_is_sorted_and_disjoint(name: str) -> None:
    ranges = unicode_class(name)
    assert ranges
    assert all(low <= high for low, high in ranges)
    assert all(high < low for (_, high), (low, _) in pairwise(ranges))


WORDS = {script: "CJK" if script == "Han" else script.upper() for script in SCRIPTS}
"""With what the names of a script's letters begin."""


@pytest.mark.parametrize("script", SCRIPTS)
def test_letters_of_a_script_are_named_after_it(script: str) -> None:
    ranges = SCRIPTS[script]
    letters = [
        point
        for point in range(0x3000)
        if unicodedata.name(chr(point), "").startswith(f"{WORDS[script]} ")
        and unicodedata.category(chr(point)) in ("Lu", "Ll", "Lo")
    ]
    assert all(contains(ranges, point) for point in letters)
    assert all(unicodedata.category(chr(point)) != "Cn" for low, high in ranges for point in range(low, high + 1))
    firsts = {unicodedata.name(chr(point), "?").split()[0] for low, high in ranges for point in range(low, high + 1)}
    assert firsts & set(WORDS.values()) <= {WORDS[script]}
    assert WORDS[script] in firsts


def test_all_categories_have_a_class() -> None:
    assert set(unicode_names()) >= {"C", "L", "M", "N", "P", "S", "Z", "Lu", "Nd", "Zs", "Any"}
    assert "Cn" not in unicode_names()


def test_ascii_classes() -> None:
    def text(ranges: tuple[tuple[int, int], ...]) -> str:
        return "".join(chr(point) for low, high in ranges for point in range(low, high + 1))

    assert text(PERL["d"]) == "0123456789"
    assert text(PERL["s"]) == "\t\n\f\r "
    assert text(POSIX["space"]) == "\t\n\v\f\r "
    assert text(POSIX["punct"]) == "".join(c for c in map(chr, range(33, 127)) if not c.isalnum())
    assert text(POSIX["xdigit"]) == "0123456789ABCDEFabcdef"
    assert text(POSIX["graph"]) + " " == text(POSIX["print"])[1:] + " "
    assert len(text(POSIX["ascii"])) == 128
