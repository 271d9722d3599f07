"""Visits: what one request for an answer comes to. It opens an answer, or finds the one that it asked for before.

An Idempotency-Key names an answer. A cursor (Last-Event-ID) names one too. The retry header of OpenAI's SDK names none,
so it finds an answer only when there is exactly one that its client can have lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from edgewise.api.asgi import Headers, Scope
from edgewise.api.errors import IdempotencyKeyInvalidError, IdempotencyKeyReusedError, OtherRequestError
from edgewise.api.host import Caller
from edgewise.api.intake import Snapshot
from edgewise.api.repeats import Candidate, Held, Repeats
from edgewise.api.service import AnswerService
from edgewise.dialects.chat import ChatRequest
from edgewise.dialects.render import AnswerHeader
from edgewise.ids import new_id
from edgewise.streams.cursor import parse_after, parse_cursor
from edgewise.streams.log import Head
from edgewise.wire.errors import ConflictError, CursorAheadError, EdgewiseError, FencedError, StreamNotFoundError

logger = logging.getLogger(__name__)
KEY_MAX_CHARS = 255
ORPHAN_S = 10.0
"""How long an answer goes on for a client that hung up before it knew the stream's id, but may retry."""
_OPENING_WAITS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 1.0)
"""How long a key's answer may take to be opened before somebody else opens it in its place."""
_NAMES = {b"idempotency-key": 0, b"last-event-id": 1, b"x-stainless-retry-count": 2}


class Repetition(NamedTuple):
    """What a request says of having been sent before; empty text for what it does not say."""

    key: str = ""
    cursor: str = ""
    retry: str = ""


class Asked(NamedTuple):
    """One request: who asks, for what, and the digest of the body that said so."""

    caller: Caller
    request: ChatRequest
    digest: str


def body_digest(body: bytes) -> str:
    """The sha256 of the raw bytes: a client that repeats a request sends the same, and nothing has to be parsed."""
    return hashlib.sha256(body).hexdigest()


def repetition(scope: Scope) -> Repetition | None:
    """The headers of a request that make it a repeated one or prepare for one; None for most requests."""
    found = ["", "", ""]
    for name, value in scope["headers"]:
        if name in _NAMES:
            found[_NAMES[name]] = str(value, "latin-1")
    said = Repetition(*found)
    return said if said.key or said.cursor or said.retry.isdecimal() else None


class Visit:
    """One request and the answer that it reads, from beyond `after` on; `over` when nothing is left there. Nothing is
    owed to this one when it leaves."""

    def __init__(self, answer: AnswerHeader, *, after: int = -1, replayed: bool = False, over: bool = False) -> None:
        self.answer = answer
        self.after = after
        self.replayed = replayed
        self.over = over
        self.headers: Headers = ()
        """More for the response, such as how the caller's limits stand."""

    async def left(self, *, told: bool) -> None:
        """The client hung up before the end; `told` when it knows the stream's id."""

    async def done(self) -> None:
        """The client was sent everything."""

    async def failed(self) -> None:
        """The client was sent an HTTP error instead of an answer."""


class _FreshVisit(Visit):
    """A request that said nothing of repeating: an answer whose id nobody was told could never be read, so it ends."""

    def __init__(self, service: AnswerService, caller: Caller, answer: AnswerHeader) -> None:
        super().__init__(answer)
        self._service = service
        self._caller = caller

    async def left(self, *, told: bool) -> None:
        if not told:
            with suppress(EdgewiseError):  # nobody is left to hear of it
                await self._service.cancel(self._caller, self.answer.sid)


class _KeyedVisit(Visit):
    """A request with a key: its client may always come back, so leaving changes nothing. A key stands for an answer; an
    HTTP error is none, and frees it."""

    def __init__(self, repeats: Repeats, owner: str, key: str, visit: Visit) -> None:
        super().__init__(visit.answer, after=visit.after, replayed=visit.replayed, over=visit.over)
        self._repeats = repeats
        self._owner = owner
        self._key = key

    async def failed(self) -> None:
        await _quietly(self._repeats.release(self._owner, self._key, self.answer.sid))


class _RetriedVisit(Visit):
    """A request of a client that retries by itself: when it is lost, a retry may take its answer up."""

    def __init__(self, visits: Visits, asked: Asked, answer: AnswerHeader, *, replayed: bool) -> None:
        super().__init__(answer, replayed=replayed)
        self._visits = visits
        self._asked = asked

    async def left(self, *, told: bool) -> None:
        await self._visits.lose(self._asked, self.answer.sid, cancel=not told)

    async def done(self) -> None:
        await self._visits.settle(self._asked, self.answer.sid)

    async def failed(self) -> None:
        await self._visits.settle(self._asked, self.answer.sid)


class Visits:
    """Opens visits. `orphan_s` bounds how long an answer goes on for nobody but a client that may retry."""

    def __init__(
        self,
        service: AnswerService,
        repeats: Repeats,
        *,
        orphan_s: float = ORPHAN_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        stream_id: Callable[[], str] = new_id,
    ) -> None:
        self._service = service
        self._repeats = repeats
        self._orphan_s = orphan_s
        self._sleep = sleep
        self._stream_id = stream_id
        self._watches: set[asyncio.Task[None]] = set()

    @property
    def watching(self) -> int:
        """Lost answers that will be stopped unless a retry takes them up."""
        return len(self._watches)

    async def open(self, caller: Caller, request: ChatRequest, body: bytes, said: Repetition | None) -> Visit:
        """The visit of one request. Raises what `AnswerService.begin` raises, IdempotencyKeyInvalidError,
        IdempotencyKeyReusedError, OtherRequestError, and the errors of cursors and unknown streams."""
        asked = Asked(caller, request, body_digest(body))
        if said is None:
            return _FreshVisit(self._service, caller, await self._begin(asked))
        if said.key:
            return await self._keyed(asked, said.key, said.cursor)
        if said.cursor:
            return await self._resumed(asked, said.cursor)
        return await self._retried(asked, int(said.retry[:4]))

    async def _begin(self, asked: Asked, sid: str = "") -> AnswerHeader:
        return await self._service.begin(asked.caller, asked.request, sid=sid, digest=asked.digest)

    # By key ---------------------------------------------------------------------------------------------------------

    async def _keyed(self, asked: Asked, key: str, cursor: str) -> Visit:
        _check_key(key)
        owner, mine = asked.caller.key_id, Held(self._stream_id(), asked.digest)
        for wait_s in (*_OPENING_WAITS_S, None):
            held = await self._repeats.hold(owner, key, mine)
            if held.digest != asked.digest:
                raise _reused(key)
            if held.sid != mine.sid and (found := await self._known(asked.caller, held.sid)):
                return _KeyedVisit(self._repeats, owner, key, self._attached(*found, cursor))
            if held.sid == mine.sid or wait_s is None:  # nobody opened it: whoever held the key is gone
                break
            await self._sleep(wait_s)
        return await self._open_held(asked, key, held.sid, cursor)

    async def _open_held(self, asked: Asked, key: str, sid: str, cursor: str) -> Visit:
        """Open the stream that the key stands for. Two that try have the same id, so only one can."""
        owner = asked.caller.key_id
        try:
            return _KeyedVisit(self._repeats, owner, key, Visit(await self._begin(asked, sid)))
        except (ConflictError, FencedError):
            found = await self._service.head(asked.caller, sid), await self._service.snapshot(sid)
            return _KeyedVisit(self._repeats, owner, key, self._attached(*found, cursor))
        except EdgewiseError:
            await _quietly(self._repeats.release(owner, key, sid))
            raise

    async def _known(self, caller: Caller, sid: str) -> tuple[Head, Snapshot] | None:
        try:
            head = await self._service.head(caller, sid)
        except StreamNotFoundError:
            return None
        return head, await self._service.snapshot(sid)

    # By cursor ------------------------------------------------------------------------------------------------------

    async def _resumed(self, asked: Asked, cursor: str) -> Visit:
        sid = parse_cursor(cursor).sid
        head = await self._service.head(asked.caller, sid)
        snapshot = await self._service.snapshot(sid)
        if snapshot.digest != asked.digest:
            raise _other_request(sid)
        return self._attached(head, snapshot, cursor)

    def _attached(self, head: Head, snapshot: Snapshot, cursor: str) -> Visit:
        sid = snapshot.header.sid
        after = parse_after(cursor, sid) if cursor else -1
        check_cursor(after, head, sid)
        over = head.status != "open" and after == head.next_seq - 1
        return Visit(snapshot.header, after=after, replayed=True, over=over)

    # By retry header ------------------------------------------------------------------------------------------------

    async def _retried(self, asked: Asked, count: int) -> Visit:
        if count and (answer := await self._lost_answer(asked)):
            return _RetriedVisit(self, asked, answer, replayed=True)
        sid = self._stream_id()
        offering = asyncio.ensure_future(_quietly(self._offer(asked, sid, lost=False)))
        answer = await self._begin(asked, sid)  # both commands travel in one pipeline
        await offering
        return _RetriedVisit(self, asked, answer, replayed=False)

    async def _lost_answer(self, asked: Asked) -> AnswerHeader | None:
        """The one answer that this client can have lost; None when there is none, or more than one."""
        candidates = await self._repeats.candidates(asked.caller.key_id, asked.digest)
        lost = [candidate.sid for candidate in candidates if await self._is_lost(candidate)]
        if len(lost) != 1 or not await self._take(asked, lost[0]):
            return None
        try:
            return (await self._service.snapshot(lost[0])).header
        except StreamNotFoundError:  # it was promised, but never opened
            return None

    async def _is_lost(self, candidate: Candidate) -> bool:
        """Whether nobody reads it: its reader hung up, or was served by a gateway that died with it."""
        try:
            head = await self._service.log.head(candidate.sid)
        except StreamNotFoundError:
            return False
        if candidate.lost or head.status == "cancelled":
            return head.status != "cancelled"
        return head.epoch > 1 or (head.status == "open" and head.lease_left_s <= 0)

    async def lose(self, asked: Asked, sid: str, *, cancel: bool) -> None:
        """The client of a candidate hung up. With `cancel`, an answer that no retry takes up is stopped in a while."""
        await _quietly(self._offer(asked, sid, lost=True))
        if cancel:
            watch = asyncio.create_task(self._cancel_unless_taken(asked, sid), name=f"orphan-{sid}")
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)

    async def settle(self, asked: Asked, sid: str) -> None:
        """The client of a candidate has all it will get: a retry is a new request."""
        await _quietly(self._take(asked, sid))

    async def aclose(self) -> None:
        """Stop watching over lost answers."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    async def _cancel_unless_taken(self, asked: Asked, sid: str) -> None:
        await self._sleep(self._orphan_s)
        try:
            open_still = (await self._service.log.head(sid)).status == "open"
            if open_still and await self._take(asked, sid):
                await self._service.cancel(asked.caller, sid)
        except EdgewiseError as error:
            logger.warning("a lost answer was not stopped: %s", error.message, extra={"stream": sid})

    async def _offer(self, asked: Asked, sid: str, *, lost: bool) -> None:
        await self._repeats.offer(asked.caller.key_id, asked.digest, sid, lost=lost)

    async def _take(self, asked: Asked, sid: str) -> bool:
        return await self._repeats.take(asked.caller.key_id, asked.digest, sid)


async def _quietly(work: Awaitable[object]) -> None:
    """Work whose failure costs a later retry its answer, and this request nothing."""
    try:
        await work
    except EdgewiseError as error:
        logger.warning("a repeated request may not find its answer: %s", error.message)


def check_cursor(after: int, head: Head, sid: str) -> None:
    """Raises CursorAheadError for a cursor beyond the stream's end."""
    if after >= head.next_seq:
        raise CursorAheadError(
            f"The cursor {sid}/{after} is ahead of the stream, which ends at {head.next_seq - 1}",
            where="Last-Event-ID or ?after=",
            remedy="read from the start (?after=-1)",
        )


def _check_key(key: str) -> None:
    if len(key) > KEY_MAX_CHARS or not (key.isascii() and key.isprintable()):
        raise IdempotencyKeyInvalidError(
            "The idempotency key cannot be used",
            where="header Idempotency-Key",
            expected=f"1 to {KEY_MAX_CHARS} printable ASCII characters, such as a UUID",
        )


def _reused(key: str) -> IdempotencyKeyReusedError:
    return IdempotencyKeyReusedError(
        f"The idempotency key {key[:40]!r} was used for another request",
        where="header Idempotency-Key",
        expected="the same body, byte for byte",
        remedy="use a fresh key for each new request",
    )


def _other_request(sid: str) -> OtherRequestError:
    return OtherRequestError(
        f"Stream {sid} answers another request than this one",
        where="header Last-Event-ID and the request body",
        expected="the same body, byte for byte, as when the stream was opened",
        remedy=f"read on with GET /v1/streams/{sid}, or leave Last-Event-ID out",
    )
