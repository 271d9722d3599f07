"""Streams that are still in the token log: copied out of it, and written into another one under the same rules.

An open stream keeps its entries and their epochs, so that a take-over goes on from the ids that are there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import IO

import msgspec

from control_plane.decisions.sealed import encode_records
from edgewise.streams.log import Head, Record, StreamLog, StreamStatus
from edgewise.wire.errors import ConflictError, CursorTrimmedError, StreamNotFoundError

_HOLDER = "restore"
_READ_LIMIT = 1000


class SavedStream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stream as the log held it."""

    sid: str
    owner: str
    status: StreamStatus
    request: bytes
    records: list[Record]

    @property
    def is_open(self) -> bool:
        return self.status == "open"

    @property
    def packed(self) -> bytes:
        """The records as `sealed_streams` keeps them."""
        return encode_records(self.records)


async def save_streams(log: StreamLog, sids: AsyncIterator[str], file: IO[bytes]) -> int:
    """Write a line for every stream whose entries are all there; returns how many. Raises LogUnavailableError."""
    count = 0
    async for sid in sids:
        saved = await _saved(log, sid)
        if saved is not None:
            file.write(msgspec.json.encode(saved) + b"\n")
            count += 1
    return count


async def _saved(log: StreamLog, sid: str) -> SavedStream | None:
    """None for one that has expired or was sealed and trimmed: SQL has it."""
    try:
        head = await log.head(sid)
        if head.first_seq > 0:
            return None
        return SavedStream(sid, head.owner, head.status, await log.request(sid), await _records(log, sid, head))
    except (StreamNotFoundError, CursorTrimmedError):
        return None


async def _records(log: StreamLog, sid: str, head: Head) -> list[Record]:
    records: list[Record] = []
    while len(records) < head.next_seq:
        records += await log.read(sid, after=len(records) - 1, limit=min(_READ_LIMIT, head.next_seq - len(records)))
    return records


def decode_stream(line: bytes) -> SavedStream:
    """Inverse of what `save_streams` writes. Raises ValueError for any other bytes."""
    try:
        saved = msgspec.json.decode(line, type=SavedStream)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    epochs = [record.epoch for record in saved.records]
    if [record.seq for record in saved.records] != list(range(len(saved.records))) or epochs != sorted(epochs):
        raise ValueError("entries out of order")
    if epochs and not 0 < epochs[0] <= epochs[-1] <= len(saved.records) + 1000:
        raise ValueError("epochs that cannot be")
    if not saved.is_open and not saved.records:
        raise ValueError("an end without entries")
    return saved


async def put_back(log: StreamLog, saved: SavedStream) -> bool:
    """Open the stream in `log` with its entries, leased to nobody; False when the log has it already.

    Raises LogUnavailableError, and FencedError when somebody else writes it meanwhile.
    """
    try:
        await log.create(saved.sid, owner=saved.owner, request=saved.request)
    except ConflictError:
        return False
    epoch = 0
    for record in saved.records:
        while epoch < record.epoch:
            epoch = (await log.claim(saved.sid, holder=_HOLDER, lease_s=0.0, seen_epoch=epoch)).epoch
        await log.append(saved.sid, epoch=epoch, seq=record.seq, payloads=[record.payload])
    return True
