"""The errors that every StreamLog raises, worded once for Valkey and SQLite."""

from __future__ import annotations

from edgewise.wire.errors import ConflictError, CursorAheadError, CursorTrimmedError, FencedError, StreamNotFoundError


def not_found(sid: str) -> StreamNotFoundError:
    return StreamNotFoundError(
        f"There is no stream {sid}",
        where="stream id",
        remedy="check the id; streams are forgotten some time after their end",
    )


def exists(sid: str) -> ConflictError:
    return ConflictError(f"Stream {sid} exists already", expected="a fresh id; ids are never used again")


def still_open(sid: str) -> ConflictError:
    return ConflictError(f"Stream {sid} is still open", expected="an ended stream", remedy="cancel it first")


def stale(sid: str, epoch: int) -> FencedError:
    return FencedError(
        f"Stream {sid} is in epoch {epoch} now", expected="the current epoch", remedy="stop writing; read the head"
    )


def ended(sid: str, status: str) -> FencedError:
    return FencedError(f"Stream {sid} is {status}; nothing may follow", remedy="stop writing")


def leased(sid: str, holder: str) -> FencedError:
    return FencedError(
        f"Stream {sid} is held by {holder}, whose lease is alive", remedy="try again when the lease has run out"
    )


def diverged(sid: str, seq: int) -> FencedError:
    return FencedError(
        f"Stream {sid} holds another entry at sequence number {seq}",
        expected="the same payload when an append is repeated",
        remedy="stop writing; another writer went on from here",
    )


def ahead(sid: str, after: int, next_seq: int) -> CursorAheadError:
    return CursorAheadError(
        f"The cursor {sid}/{after} is ahead of the stream, which ends at {next_seq - 1}",
        where="cursor",
        remedy="read from the start (-1), and replace what was shown",
    )


def trimmed(sid: str, first_seq: int) -> CursorTrimmedError:
    return CursorTrimmedError(
        f"The entries of stream {sid} before {first_seq} are gone: their time to live is over",
        where="cursor",
        remedy="ask again, or read the sealed answer",
    )
