"""Sealed streams: what was read from the log can be read for ever, byte for byte."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from control_plane.database import Database
from control_plane.decisions.sealed import SealedStreams, decode_records, encode_records, summarize
from edgewise.streams.entries import (
    CancelEntry,
    EndEntry,
    Entry,
    RetractEntry,
    RevisionEntry,
    TokensEntry,
    encode_entry,
)
from edgewise.streams.log import Record
from edgewise.wire.errors import ConflictError, LogUnavailableError, StreamNotFoundError
from tests.control_plane.decisions.events import sid
from tests.factories.admin import NOON


def records(*entries: Entry) -> list[Record]:
    return [Record(seq, 1, encode_entry(entry)) for seq, entry in enumerate(entries)]


ANSWER = records(TokensEntry(0, (5, 6), "你"), TokensEntry(2, (7,), "好\0!"), EndEntry("stop", 3, 3))


@pytest.fixture
def sealed(database: Database) -> SealedStreams:
    return SealedStreams(database, now=lambda: NOON)


async def test_the_same_records_come_back(sealed: SealedStreams) -> None:
    await sealed.seal(sid(1), "key-1", encode_records(ANSWER), "done", request=b"snapshot")
    found = await sealed.get(sid(1))
    assert found.records == ANSWER
    assert (found.owner, found.status, found.finish, found.request) == ("key-1", "done", "stop", b"snapshot")
    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("你好!", 3, 3)
    assert found.sealed_at == NOON


async def test_sealing_again_changes_nothing_but_other_entries_are_a_conflict(sealed: SealedStreams) -> None:
    for _ in range(2):
        await sealed.seal(sid(1), "key-1", encode_records(ANSWER), "done")
    with pytest.raises(ConflictError):
        await sealed.seal(sid(1), "key-1", encode_records(ANSWER[:1]), "done")
    assert (await sealed.get(sid(1))).records == ANSWER


async def test_an_unknown_stream_is_not_found(sealed: SealedStreams) -> None:
    for unknown in (sid(9), "", "nonsense", "\0"):
        with pytest.raises(StreamNotFoundError):
            await sealed.get(unknown)


async def test_damage_at_rest_is_seen(sealed: SealedStreams, database: Database) -> None:
    await sealed.seal(sid(1), "key-1", encode_records(ANSWER), "done")
    async with database.session() as session:
        await session.execute(text("UPDATE sealed_streams SET records = :records"), {"records": b"\x90"})
    with pytest.raises(LogUnavailableError, match="damaged"):
        await sealed.get(sid(1))


async def test_purging_forgets_what_is_old_only(database: Database) -> None:
    moments = iter([NOON, NOON + timedelta(days=2)])
    sealed = SealedStreams(database, now=lambda: next(moments))
    for number in (1, 2):
        await sealed.seal(sid(number), "key-1", encode_records(ANSWER), "done")
    await sealed.purge(NOON + timedelta(days=1))
    assert (await sealed.get(sid(2))).records == ANSWER
    with pytest.raises(StreamNotFoundError):
        await sealed.get(sid(1))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((), ("", "cancelled")),
        ((TokensEntry(0, (1,), "half"), CancelEntry("key-1")), ("half", "cancelled")),
        ((TokensEntry(0, (1,), "rough"), RevisionEntry("better", "cloud"), EndEntry("stop", 1, 1)), ("better", "stop")),
        ((TokensEntry(0, (1,), "good bad"), RetractEntry(4, "audit"), EndEntry("stop", 1, 1)), ("good", "stop")),
    ],
)
def test_the_final_text_obeys_revisions_and_retractions(entries: tuple[Entry, ...], expected: tuple[str, str]) -> None:
    summary = summarize(records(*entries))
    assert (summary.text, summary.finish) == expected


@given(st.binary(max_size=200))
def test_bytes_that_are_no_records_are_a_typed_error(raw: bytes) -> None:
    with contextlib.suppress(LogUnavailableError):
        assert isinstance(decode_records(raw), list)
