"""Functions of strings; offsets count code points."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.values import Value
from tests.policies.language.library.calling import error, method, run, same

TEXTS = st.text(alphabet="aab©🐱", max_size=12)


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("contains", ("Straße", "aß"), True),
        ("contains", ("", "x"), False),
        ("startsWith", ("foobar", "foo"), True),
        ("endsWith", ("forté", "té"), True),
        ("charAt", ("©αT", 1), "α"),
        ("charAt", ("©αT", 3), ""),
        ("indexOf", ("ta©o©αT", "©"), 2),
        ("indexOf", ("ta©o©αT", "©α", 5), -1),
        ("indexOf", ("", "a"), -1),
        ("indexOf", ("tacocat", "", 7), 7),
        ("lastIndexOf", ("tacocat", ""), 7),
        ("lastIndexOf", ("tacocat", "", 3), 3),
        ("lastIndexOf", ("bananananana", "nana", 7), 6),
        ("lastIndexOf", ("ab", "abc"), -1),
        ("lowerAscii", ("TacoCÆt",), "tacocÆt"),
        ("lower", ("ABÇ",), "abÇ"),
        ("upperAscii", ("tacoCαt",), "TACOCαT"),
        ("replace", ("hello hello", "he", "we"), "wello wello"),
        ("replace", ("hello hello", "he", "we", 1), "wello hello"),
        ("replace", ("hello hello", "he", "we", 0), "hello hello"),
        ("replace", ("hello hello", "he", "we", -1), "wello wello"),
        ("replace", ("ab", "", "-"), "-a-b-"),
        ("split", ("a,b,c", ","), ["a", "b", "c"]),
        ("split", ("a,b,c", ",", 2), ["a", "b,c"]),
        ("split", ("a,b,c", ",", 1), ["a,b,c"]),
        ("split", ("a,b,c", ",", 0), []),
        ("split", ("a,b,c", ",", -1), ["a", "b", "c"]),
        ("split", ("", ","), [""]),
        ("split", ("🐱b", ""), ["🐱", "b"]),
        ("split", ("abc", "", 2), ["a", "bc"]),
        ("split", ("abc", "", 9), ["a", "b", "c"]),
        ("substring", ("tacocat", 7), ""),
        ("substring", ("ta©o©αT", 2, 6), "©o©α"),
        ("trim", ("\u3000\t\x85 a\u180e\u200b \u2028",), "a\u180e\u200b"),
        ("trim", ("\x1ca\x1f",), "\x1ca\x1f"),
        ("join", (["x", "y"],), "xy"),
        ("join", (["x", "y"], "-"), "x-y"),
        ("join", ([], "-"), ""),
        ("reverse", ("Ta©🐱",), "🐱©aT"),
    ],
)
def test_values(name: str, args: tuple[Value, ...], expected: Value) -> None:
    assert same(method(name, *args), expected)


@pytest.mark.parametrize(
    ("name", "args", "word"),
    [
        ("charAt", ("tacocat", 30), "index out of range: 30"),
        ("charAt", ("tacocat", -1), "index out of range: -1"),
        ("indexOf", ("tacocat", "a", 30), "index out of range: 30"),
        ("indexOf", ("tacocat", "", 8), "index out of range: 8"),
        ("lastIndexOf", ("tacocat", "a", 30), "index out of range: 30"),
        ("lastIndexOf", ("tacocat", "a", -1), "index out of range: -1"),
        ("substring", ("tacocat", 40), "index out of range: 40"),
        ("substring", ("tacocat", 1, 50), "index out of range: 50"),
        ("substring", ("tacocat", 4, 3), "start 4 is after end 3"),
        ("substring", ("tacocat", -1, 3), "index out of range: -1"),
        ("join", ([1],), "holds int"),
        ("indexOf", ("42", "4", "0"), "takes no"),
        ("replace", ("42", 2, "1"), "takes no"),
    ],
)
def test_errors(name: str, args: tuple[Value, ...], word: str) -> None:
    assert word in error(name, *args, method=True)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ('say "a\\b"', r'"say \"a\\b\""'),
        ("завтра", '"завтра"'),
        ("a\ud800b", '"a\ufffdb"'),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    assert run("strings.quote", text) == quoted


@given(TEXTS, TEXTS, st.integers(0, 12))
def test_searching_backwards_is_rfind(text: str, part: str, start: int) -> None:
    assert method("lastIndexOf", text, part) == text.rfind(part)
    if start <= len(text):
        expected = text.rfind(part, 0, start + len(part))
        assert method("lastIndexOf", text, part, start) == expected


@given(TEXTS, TEXTS, st.integers(1, 5))
def test_parts_join_to_the_text(text: str, separator: str, limit: int) -> None:
    parts = method("split", text, separator, limit)
    assert method("join", parts, separator) == text and len(parts) <= limit
