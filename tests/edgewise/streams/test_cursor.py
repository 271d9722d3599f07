"""Cursors: round trips, and strictness against anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.ids import new_id
from edgewise.streams.cursor import START, Cursor, parse_after, parse_cursor
from edgewise.wire.errors import CursorMalformedError

SID = new_id()


@given(seq=st.integers(START, 10**14))
def test_a_cursor_survives_writing_and_parsing(seq: int) -> None:
    cursor = Cursor(SID, seq)
    assert parse_cursor(str(cursor)) == cursor
    assert parse_after(str(cursor), SID) == parse_after(str(seq), SID) == seq


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "-2",
        "--1",
        "+1",
        "01",
        "1.0",
        " 1",
        "1 ",
        "1\n",
        "1_0",
        "٣",
        "²",
        "9" * 16,
        "now",
        SID,
        f"{SID}/",
        f"{SID}/x",
        f"{SID}//1",
        f"{SID}/1/2",
        f"{SID.upper()}/1",
        f"{SID[:-1]}/1",
        "a" * 100_000,
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(CursorMalformedError) as refused:
        parse_after(text, SID)
    assert len(str(refused.value)) < 400


def test_the_cursor_of_another_stream_is_malformed_here() -> None:
    with pytest.raises(CursorMalformedError, match="belongs to stream"):
        parse_after(f"{new_id()}/3", SID)


def test_a_bare_number_is_no_whole_cursor() -> None:
    with pytest.raises(CursorMalformedError):
        parse_cursor("3")


@given(text=st.one_of(st.text(max_size=60), st.from_regex(r"[0-9a-z]{25,27}/-?[0-9]{0,17}")))
def test_any_text_parses_to_itself_or_is_malformed(text: str) -> None:
    try:
        cursor = parse_cursor(text)
    except CursorMalformedError:
        return
    assert str(cursor) == text
    assert cursor.seq >= START
