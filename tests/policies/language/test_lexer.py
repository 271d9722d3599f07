"""Where tokens begin and end, and what is told of what is no token."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.lexer import Kind, tokenize
from policies.language.syntax import Span


def kinds(text: str) -> list[tuple[str, str]]:
    """The tokens of a sound text, as kind and text, without the end."""
    tokens, faults = tokenize(text)
    assert faults == []
    assert all(text[token.span.start : token.span.end] == token.text for token in tokens)
    return [(token.kind.name, token.text) for token in tokens[:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_1.b", [("IDENT", "a_1"), ("SIGN", "."), ("IDENT", "b")]),
        ("1.e5", [("INT", "1"), ("SIGN", "."), ("IDENT", "e5")]),
        ("1.5e+5-.5", [("DOUBLE", "1.5e+5"), ("SIGN", "-"), ("DOUBLE", ".5")]),
        ("0xFu 7U 7", [("UINT", "0xFu"), ("UINT", "7U"), ("INT", "7")]),
        ("1in[1]", [("INT", "1"), ("IDENT", "in"), ("SIGN", "["), ("INT", "1"), ("SIGN", "]")]),
        ("'a' \"b\"", [("STRING", "'a'"), ("STRING", '"b"')]),
        ('""', [("STRING", '""')]),
        ('"""a"b"""', [("STRING", '"""a"b"""')]),
        (r'"a\"b"', [("STRING", r'"a\"b"')]),
        (r"r'\' + 'a'", [("STRING", r"r'\'"), ("SIGN", "+"), ("STRING", "'a'")]),
        ("b'a' Br'b' r", [("BYTES", "b'a'"), ("BYTES", "Br'b'"), ("IDENT", "r")]),
        ("a.`b-c d/e.f`", [("IDENT", "a"), ("SIGN", "."), ("QUOTED", "`b-c d/e.f`")]),
        ("a // b\n&&\tc//", [("IDENT", "a"), ("SIGN", "&&"), ("IDENT", "c")]),
        ("a?.b<=c", [("IDENT", "a"), ("SIGN", "?"), ("SIGN", "."), ("IDENT", "b"), ("SIGN", "<="), ("IDENT", "c")]),
    ],
)
def test_tokens(text: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(text) == expected


def test_a_quoted_field_has_a_name() -> None:
    assert tokenize("`a-b`")[0][0].value == "a-b"


@pytest.mark.parametrize(
    ("text", "code", "at", "remedy", "then"),
    [
        ("a = b", "unknown-sign", "=", "write == instead", ["a", "==", "b"]),
        ("a & b", "unknown-sign", "&", "write && instead", ["a", "&&", "b"]),
        ("a &&& b", "unknown-sign", "&", "write && instead", ["a", "&&", "b"]),
        ("a === b", "unknown-sign", "===", "write == instead", ["a", "==", "b"]),
        ("a <> b", "unknown-sign", "<>", "write != instead", ["a", "!=", "b"]),
        ("a ＝＝ b", "unknown-sign", "＝＝", "write == instead", ["a", "==", "b"]),
        ("a＝b", "unknown-sign", "＝", "write == instead", ["a", "==", "b"]),
        ("f（a", "unknown-sign", "（", "write ( instead", ["f", "(", "a"]),
        ("a ≤ b", "unknown-sign", "≤", "write <= instead", ["a", "<=", "b"]),
        ("a\xa0+ b", "unknown-sign", "\xa0", "write a space instead", ["a", "+", "b"]),
        ("# a", "unknown-sign", "#", "remove it", ["a"]),
        ("“x” == a", "unknown-sign", "“x”", 'write " instead', ["“x”", "==", "a"]),
        ("größe > 1", "unknown-sign", "größe", "", ["größe", ">", "1"]),
        ("a.`b$`", "unknown-sign", "`b$`", 'write ["…"] instead', ["a", ".", "`b$`"]),
        ("10ms < a", "bad-number", "10ms", 'write duration("10ms")', ["10ms", "<", "a"]),
        ("1.5u", "bad-number", "1.5u", "", ["1.5u"]),
        ("0x", "bad-number", "0x", "", ["0x"]),
        ("9999999999999999999", "number-too-large", "9999999999999999999", "", ["9999999999999999999"]),
        ("1e999 > a", "number-too-large", "1e999", "", ["1e999", ">", "a"]),
        ("a == 'b && c\n&& d", "unclosed-string", "'b && c", "add '", ["a", "==", "'b && c", "&&", "d"]),
        ('"a\rb', "unclosed-string", '"a', 'add "', ['"a', "b"]),
        ('a + """b\n"" c', "unclosed-string", '"""b\n"" c', 'add """', ["a", "+", '"""b\n"" c']),
        ("br'a", "unclosed-string", "br'a", "add '", ["br'a"]),
    ],
)
def test_told_and_read_on(text: str, code: str, at: str, remedy: str, then: list[str]) -> None:
    tokens, (fault,) = tokenize(text)
    assert (fault.code, text[fault.span.start : fault.span.end], fault.suggestion) == (code, at, remedy)
    assert [token.text for token in tokens[:-1]] == then


def test_faults_of_a_string_lie_in_it() -> None:
    text = r"a == 'x\dy\qz'"
    _, faults = tokenize(text)
    assert [text[fault.span.start : fault.span.end] for fault in faults] == [r"\d", r"\q"]


@given(st.text(alphabet=st.sampled_from("ab01.xuUeE+-'\"\\rRbB`/ \n\r\t=&!<>“”＝（ö你１#?[]{}_\ud800"), max_size=60))
def test_any_text(text: str) -> None:
    tokens, faults = tokenize(text)
    assert tokens[-1].kind is Kind.END
    assert tokens[-1].span == Span(len(text), len(text))
    spans = [token.span for token in tokens]
    assert all(a.start < a.end <= b.start for a, b in pairwise(spans))
    assert all(0 <= fault.span.start < fault.span.end <= len(text) for fault in faults)
