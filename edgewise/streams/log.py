"""The StreamLog protocol: a fenced, gap-free, append-only log per answer. Valkey and SQLite implement it elsewhere.

Only the holder of a stream's current epoch may append. Sequence numbers start at 0 and have no holes. An append that
was already applied answers as applied (safe to retry); one from an older epoch raises FencedError, whatever it holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

import msgspec

StreamStatus = Literal["open", "done", "cancelled"]


class Record(msgspec.Struct, frozen=True):
    """A stored entry: its sequence number, the epoch that wrote it, and the encoded entry."""

    seq: int
    epoch: int
    payload: bytes


class Head(msgspec.Struct, frozen=True):
    """Where a stream stands. `owner` is the API key id that may read it; `lease_left_s` ≤ 0 means that nobody holds it.

    `first_seq` is the first entry that is still stored; `next_seq` when all were trimmed.
    """

    status: StreamStatus
    epoch: int
    next_seq: int
    first_seq: int
    owner: str
    holder: str
    lease_left_s: float


class Claim(msgspec.Struct, frozen=True):
    """The right to append: `epoch` fences all older ones; `next_seq` is where to go on."""

    epoch: int
    next_seq: int


class Appended(msgspec.Struct, frozen=True):
    """An append that is durable; `duplicate` when the same entries were there already."""

    next_seq: int
    duplicate: bool = False


class StreamLog(Protocol):
    """Calls that one task starts in one turn of the event loop take effect in the order in which they were started.

    Every method may raise LogUnavailableError; those with a `sid` raise StreamNotFoundError for an unknown one."""

    async def create(self, sid: str, *, owner: str, request: bytes) -> None:
        """Open a stream, once. `request` is the immutable snapshot that a later runner needs. Raises ConflictError."""
        ...

    async def open(self, sid: str, *, owner: str, request: bytes, holder: str, lease_s: float) -> Claim:
        """`create`, and `claim` of the first epoch, in one step. Raises ConflictError."""
        ...

    async def claim(self, sid: str, *, holder: str, lease_s: float, seen_epoch: int) -> Claim:
        """Take the next epoch; a stream that was never claimed is in epoch 0. Raises FencedError when `seen_epoch` is
        not the current epoch, when another holder's lease is alive, or when the stream has ended."""
        ...

    async def append(self, sid: str, *, epoch: int, seq: int, payloads: Sequence[bytes], end: bool = False) -> Appended:
        """Append one or more entries from `seq` on, all or none, and renew the lease; `end` closes the stream with the
        last of them. Those that stand there already are skipped; `duplicate` when all do.

        Raises FencedError (stale epoch, ended or cancelled stream, or another payload stands at a `seq`) and
        LogGapError (`seq` is beyond the end: the log lost a tail that the writer must send again).
        """
        ...

    async def renew(self, sid: str, *, epoch: int) -> None:
        """Keep the lease without an entry (a long prefill). Raises FencedError."""
        ...

    async def release(self, sid: str, *, epoch: int) -> None:
        """Give the lease of `epoch` up: the stream counts as expired at once. Nothing to do when it has ended, or when
        another epoch has begun."""
        ...

    async def cancel(self, sid: str, *, payload: bytes) -> int:
        """Append the terminal `payload` (a CancelEntry) and fence every writer, in one step; returns its sequence
        number. A stream that already ended is left as it is and its last sequence number returned."""
        ...

    async def head(self, sid: str) -> Head: ...

    async def request(self, sid: str) -> bytes:
        """The snapshot given to `create`."""
        ...

    async def read(self, sid: str, *, after: int, limit: int = 1000) -> list[Record]:
        """Records with seq > `after` in order. `after` -1 reads from the start. Raises CursorTrimmedError,
        CursorAheadError."""
        ...

    def watch(self, sid: str) -> AsyncIterator[None]:
        """Yields once at once, then after every change that may matter (wake-ups may be spurious or merged)."""
        ...

    async def expired(self, limit: int = 100) -> list[str]:
        """Open streams whose lease ran out: a hint for takeover, checked again by `claim`. A stream that was never
        claimed counts some seconds after its creation."""
        ...

    async def trim(self, sid: str) -> None:
        """Forget the entries and the request of an ended stream after it was sealed elsewhere. Its head stays for a
        while, so that old cursors read as trimmed and the id is refused. Idempotent. Raises ConflictError while open.
        """
        ...
