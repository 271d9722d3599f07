"""SealedStreams: a finished stream's records for ever (or until purged), after its log was trimmed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.exc import IntegrityError

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.decisions.repository import SealedRepository
from control_plane.decisions.tables import SealedStreamRow
from edgewise.ids import is_id
from edgewise.streams.entries import EndEntry, RetractEntry, RevisionEntry, TokensEntry, decode_entry
from edgewise.streams.log import Record
from edgewise.wire.errors import ConflictError, LogUnavailableError, StreamNotFoundError

_records = msgspec.msgpack.Decoder(list[Record])


@dataclass(frozen=True)
class SealedStream:
    """A sealed stream. `records` are the log's records, to be rendered as if they had just been read from it;
    `request` is the snapshot that the log was created with."""

    stream_id: str
    owner: str
    status: str
    request: bytes
    records: list[Record]
    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    sealed_at: datetime


@dataclass(frozen=True)
class Summary:
    """What a stream's records add up to."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


def encode_records(records: Sequence[Record]) -> bytes:
    """The bytes that `SealedStreams.seal` keeps; equal records give equal bytes."""
    return msgspec.msgpack.encode(list(records))


def decode_records(sealed: bytes) -> list[Record]:
    """Inverse of `encode_records`. Raises LogUnavailableError for other bytes."""
    try:
        return _records.decode(sealed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LogUnavailableError(f"Sealed records do not decode: {error}") from error


def summarize(records: Sequence[Record]) -> Summary:
    """The final text and usage. A revision replaces the text, a retraction cuts it; a cancelled stream has no usage."""
    text, finish, prompt_tokens, completion_tokens = "", "cancelled", 0, 0
    for record in records:
        entry = decode_entry(record.payload)
        if isinstance(entry, TokensEntry):
            text += entry.text
        elif isinstance(entry, RevisionEntry):
            text = entry.text
        elif isinstance(entry, RetractEntry):
            text = text[: entry.start]
        elif isinstance(entry, EndEntry):
            finish, prompt_tokens, completion_tokens = entry.finish, entry.prompt_tokens, entry.completion_tokens
            text += entry.text
    return Summary(text, finish, prompt_tokens, completion_tokens)


def sealed_values(
    sid: str, owner: str, records: bytes, status: str, request: bytes, sealed_at: datetime
) -> dict[str, Any]:
    """The columns of a finished stream's row (`records` from `encode_records`). Raises LogUnavailableError."""
    summary = summarize(decode_records(records))
    return {
        "stream_id": sid,
        "owner": owner,
        "status": status,
        "request": request,
        "records": records,
        "sha256": hashlib.sha256(records).hexdigest(),
        "text": summary.text.replace("\0", ""),  # PostgreSQL stores no NUL; `records` keeps it
        "finish": summary.finish,
        "prompt_tokens": summary.prompt_tokens,
        "completion_tokens": summary.completion_tokens,
        "sealed_at": sealed_at,
    }


class Finished(NamedTuple):
    """A stream that has ended: all that sealing it takes (`records` from `encode_records`)."""

    sid: str
    owner: str
    records: bytes
    status: str
    request: bytes


class SealedStreams:
    """Keeps and gives back finished streams."""

    def __init__(self, database: Database, *, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._now = now

    async def seal(self, sid: str, owner: str, records: bytes, status: str, *, request: bytes = b"") -> None:
        """Keep a finished stream (`records` from `encode_records`) and its request; again, it changes nothing.

        Raises ConflictError when other bytes are sealed under this id, LogUnavailableError when they do not decode.
        """
        row = SealedStreamRow(**sealed_values(sid, owner, records, status, request, self._now()))
        try:
            async with self._database.session() as session:
                SealedRepository(session).add(row)
        except IntegrityError:
            await self._require_same(sid, row.sha256)

    async def seal_many(self, streams: Sequence[Finished]) -> set[str]:
        """The same for many in one transaction; the ids under which other bytes were sealed before.

        Raises LogUnavailableError when the records of one do not decode; nothing is kept then.
        """
        now = self._now()
        rows = [sealed_values(each.sid, each.owner, each.records, each.status, each.request, now) for each in streams]
        async with self._database.session() as session:
            repository = SealedRepository(session)
            if await repository.add_missing(rows) == len(rows):
                return set()
            stored = await repository.digests([row["stream_id"] for row in rows])
        return {row["stream_id"] for row in rows if stored[row["stream_id"]] != row["sha256"]}

    async def get(self, sid: str) -> SealedStream:
        """A sealed stream. Raises StreamNotFoundError; LogUnavailableError when its bytes have changed at rest."""
        row = await self._find(sid) if is_id(sid) else None
        if row is None:
            raise StreamNotFoundError(
                f"There is no stream {sid}", expected="the id of a stream that is running or was sealed"
            )
        if hashlib.sha256(row.records).hexdigest() != row.sha256:
            raise LogUnavailableError(f"The sealed stream {sid} is damaged", remedy="restore it from a backup")
        return _sealed(row)

    async def purge(self, before: datetime) -> None:
        """Forget everything that was sealed before that moment."""
        async with self._database.session() as session:
            await SealedRepository(session).delete_before(before)

    async def _find(self, sid: str) -> SealedStreamRow | None:
        async with self._database.reading() as session:
            return await SealedRepository(session).get(sid)

    async def _require_same(self, sid: str, sha256: str) -> None:
        row = await self._find(sid)
        if row is None or row.sha256 != sha256:
            raise ConflictError(f"Stream {sid} is sealed already, with other entries", remedy="seal a stream only once")


def _sealed(row: SealedStreamRow) -> SealedStream:
    return SealedStream(
        stream_id=row.stream_id,
        owner=row.owner,
        status=row.status,
        request=row.request,
        records=decode_records(row.records),
        text=row.text,
        finish=row.finish,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        sealed_at=row.sealed_at,
    )
