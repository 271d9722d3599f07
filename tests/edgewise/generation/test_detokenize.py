"""Incremental detokenization: no half character, no dependence on batching, replacement only where it is certain."""

from hypothesis import given
from hypothesis import strategies as st

from edgewise.generation.detokenize import Detokenizer


class ByteTokens:
    """Token id = byte value; 256 is a special token."""

    def token_bytes(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""


def everything(data: bytes) -> str:
    stream = Detokenizer(ByteTokens())
    return stream.push(data) + stream.finish()


@given(st.binary(), st.integers(1, 5))
def test_any_batching_gives_the_whole_decoding(data: bytes, size: int) -> None:
    stream = Detokenizer(ByteTokens())
    pieces = [stream.push(data[start : start + size]) for start in range(0, len(data), size)]
    assert "".join(pieces) + stream.finish() == data.decode("utf-8", errors="replace")


def test_a_character_waits_for_its_last_byte() -> None:
    stream = Detokenizer(ByteTokens())
    assert [stream.push([byte]) for byte in "好a😀".encode()] == ["", "", "好", "a", "", "", "", "😀"]


def test_an_unfinished_character_becomes_a_replacement_only_at_the_end() -> None:
    stream = Detokenizer(ByteTokens())
    assert stream.push("好".encode()[:2]) == ""
    assert stream.finish() == "\ufffd"


def test_bytes_that_cannot_begin_a_character_are_replaced_at_once() -> None:
    assert Detokenizer(ByteTokens()).push([0xFF, 0x41]) == "\ufffdA"


def test_special_tokens_leave_no_text() -> None:
    assert everything(b"ab") == "ab"
    assert Detokenizer(ByteTokens()).push([0x61, 256, 0x62]) == "ab"
