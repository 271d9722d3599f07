"""What literals are worth: every form of number, string and bytes, and what is told of those that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.literals import meant_number, read_number, read_string
from policies.language.values import Uint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("007", 7),
        ("0x1F", 31),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 2**63),
        ("9223372036854775809", None),
        ("0x8000000000000001", None),
        ("0" * 30 + "1", 1),
        ("9" * 5000, None),
        ("0u", Uint(0)),
        ("0xFFu", Uint(255)),
        ("18446744073709551615U", Uint(2**64 - 1)),
        ("18446744073709551616u", None),
        ("1.5", 1.5),
        (".25", 0.25),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        ("1e400", None),
        ("1e-400", 0.0),
    ],
)
def test_numbers(text: str, value: int | float | None) -> None:
    assert (read_number(text), type(read_number(text))) == (value, type(value))


@pytest.mark.parametrize(
    ("number", "glued", "meant"),
    [
        ("10", "ms", 'write duration("10ms")'),
        ("1.5", "h", 'write duration("1.5h")'),
        ("1", "_000_000", "write 1000000"),
        ("0", "X1F", "write 0x1f"),
        ("3", "abc", ""),
        ("1", "_", ""),
    ],
)
def test_what_a_number_was_meant_to_be(number: str, glued: str, meant: str) -> None:
    assert meant_number(number, glued) == meant


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("''", ""),
        ('""""""', ""),
        ("'a\"b'", 'a"b'),
        ("'''a'b''c'''", "a'b''c"),
        ('"""a\nb\r\nc"""', "a\nb\r\nc"),
        (r"'\a\b\f\n\r\t\v\\\?\"\'\`'", "\a\b\f\n\r\t\v\\?\"'`"),
        (r"'\x41\X4a\u4f60\U0001F62c\101\377'", "AJ你😬Aÿ"),
        (r"r'\n\u0041\'", r"\n\u0041" + "\\"),
        (r'R"""\x41"b"""', r"\x41" + '"b'),
        ("b'aÿ'", b"a\xc3\xbf"),
        (r"b'\xff\377\x41\n'", b"\xff\xffA\n"),
        ("B'''a'b'''", b"a'b"),
        (r"bR'\xff'", b"\\xff"),
    ],
)
def test_strings(text: str, value: str | bytes) -> None:
    assert read_string(text, 0) == (value, [])


@pytest.mark.parametrize(
    ("text", "at", "code"),
    [
        (r"'a\d'", r"\d", "unknown-escape"),
        (r"'\x4'", r"\x", "unknown-escape"),
        (r"'\400'", r"\4", "unknown-escape"),
        (r"'''\ud800'''", r"\ud800", "unknown-escape"),
        (r"'\U00110000'", r"\U00110000", "unknown-escape"),
        (r"b'ÿ\u0041'", r"\u0041", "unknown-escape"),
        (r"b'\U00000041'", r"\U00000041", "unknown-escape"),
        ("'a\ud800'", "\ud800", "unknown-sign"),
        ("br'a\udfff'", "\udfff", "unknown-sign"),
    ],
)
def test_what_is_no_character(text: str, at: str, code: str) -> None:
    _, (fault,) = read_string(text, 100)
    assert (fault.code, text[fault.span.start - 100 : fault.span.end - 100]) == (code, at)


@given(st.binary(max_size=40))
def test_any_bytes_by_escapes(raw: bytes) -> None:
    assert read_string("b'" + "".join(f"\\x{byte:02x}" for byte in raw) + "'", 0) == (raw, [])
    assert read_string("b'" + "".join(f"\\{byte:03o}" for byte in raw) + "'", 0) == (raw, [])


@given(st.text(max_size=40))
def test_any_text_by_escapes(text: str) -> None:
    escaped = "".join(f"\\U{ord(sign):08x}" for sign in text)
    found, faults = read_string(f'"{escaped}"', 0)
    halves = sum(0xD800 <= ord(sign) <= 0xDFFF for sign in text)
    assert len(faults) == halves
    assert halves or found == text
