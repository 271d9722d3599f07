"""Cursors: where a reader stands in a stream, as `<sid>/<seq>`. A bad cursor is an error, never "from the start"."""

from __future__ import annotations

from typing import NamedTuple

from edgewise.ids import ID_CHARS, is_id
from edgewise.wire.errors import CursorMalformedError

START = -1
_SEQ_MAX_DIGITS = 15


class Cursor(NamedTuple):
    """The last sequence number that a reader has seen of stream `sid`; START (-1) when it has seen nothing."""

    sid: str
    seq: int

    def __str__(self) -> str:
        return f"{self.sid}/{self.seq}"


def parse_cursor(text: str) -> Cursor:
    """The cursor written as `<sid>/<seq>`. Raises CursorMalformedError for every other text."""
    sid, slash, seq = text.partition("/")
    if not slash or not is_id(sid):
        raise _malformed(text)
    return Cursor(sid, _parse_seq(seq, text))


def parse_after(text: str, sid: str) -> int:
    """The position named by `text`, a cursor of stream `sid` or a bare sequence number.

    Raises CursorMalformedError, also for a cursor of another stream.
    """
    if "/" not in text:
        return _parse_seq(text, text)
    cursor = parse_cursor(text)
    if cursor.sid != sid:
        raise CursorMalformedError(
            f"The cursor belongs to stream {cursor.sid}, not to {sid}",
            where="cursor",
            expected=f"{sid}/<seq>",
            remedy="resume each stream with the last id that it sent",
        )
    return cursor.seq


def _parse_seq(text: str, whole: str) -> int:
    """A canonical decimal from -1 on: no sign but in -1, no leading zero, ASCII digits only."""
    if text == "-1":
        return START
    canonical = text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")
    if not canonical or len(text) > _SEQ_MAX_DIGITS:
        raise _malformed(whole)
    return int(text)


def _malformed(text: str) -> CursorMalformedError:
    shown = text if len(text) <= 2 * ID_CHARS else text[: 2 * ID_CHARS] + "…"
    return CursorMalformedError(
        f"{shown!r} is not a stream cursor",
        where="cursor",
        expected="<stream id>/<sequence number>, or a sequence number from -1 (the start) on",
        remedy="send back the last id of the stream unchanged, or -1 to read from the start",
    )
