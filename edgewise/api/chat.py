"""POST /v1/chat/completions. Errors before the first token are HTTP errors; after it they travel in the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from edgewise.api.asgi import (
    JSON,
    ClientGoneError,
    Headers,
    Receive,
    Scope,
    Send,
    Until,
    disconnected,
    has_hung_up,
    header,
    read_body,
    send_body,
    send_error,
    send_stream,
)
from edgewise.api.drain import Drain
from edgewise.api.repeats import MemoryRepeats
from edgewise.api.service import AnswerService
from edgewise.api.visits import Visit, Visits, repetition
from edgewise.dialects.chat import parse_chat_request
from edgewise.dialects.openai_errors import error_json, rate_headers
from edgewise.dialects.render import AnswerHeader, ChatRenderer, CompletionBuilder
from edgewise.dialects.shared_render import Renderer
from edgewise.dialects.sse import DONE, frame
from edgewise.streams.entries import ErrorEntry, TokensEntry, decode_entry
from edgewise.streams.pacing import Pace, Records, Sleep, paced
from edgewise.streams.tailer import TailerHub
from edgewise.wire.errors import EdgewiseError, ErrorInfo, LogUnavailableError, ShuttingDownError

T = TypeVar("T")
INTERRUPTIONS = frozenset({LogUnavailableError.number, ShuttingDownError.number})
"""Errors that stop a reader here; its stream is still open."""


class ChatCompletions:
    """The endpoint as an ASGI app. Without `visits`, requests are remembered in this endpoint alone. Once `drain`
    begins, nobody is held back any more, so that answers that have ended are sent whole."""

    def __init__(self, service: AnswerService, visits: Visits | None = None, drain: Drain | None = None) -> None:
        self._service = service
        self._drain = drain or Drain()
        self._visits = visits or Visits(service, MemoryRepeats())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        observer = self._service.observer
        trail = observer.arrive(header(scope, b"traceparent"))
        try:
            caller = self._service.host.authenticate(header(scope, b"authorization"))
            body = await read_body(receive)
            trail.read()
            request = parse_chat_request(body)
            visit = await self._visits.open(caller, request, body, repetition(scope))
        except ClientGoneError:
            return
        except EdgewiseError as error:
            observer.refused(error.info().code)
            await send_error(send, error.info())
            return
        if visit.over:
            await send_body(send, 204, b"", visit_headers(visit))
            return
        if (rate := self._service.host.rate(visit.answer.sid)) is not None:
            visit.headers = rate_headers(rate)
        respond = self._stream if request.stream else self._whole
        await respond(visit, receive, send)

    async def _stream(self, visit: Visit, receive: Receive, send: Send) -> None:
        shown = shown_records(self._service.hub, visit.answer, visit.after, self._drain.sleep)
        async with aclosing(shown) as records:
            renderer = ChatRenderer(visit.answer)
            head = b""
            if visit.after < 0:
                begun = await self._unless_gone(visit, receive, _until_token(records, renderer))
                if begun is None:
                    return
                error, head = begun
                if error is not None:
                    await _refuse(visit, error, send)
                    return
            frames = render_frames(records, renderer, visit.after)
            if await send_stream(receive, send, frames, visit_headers(visit), head):
                await visit.done()
            else:
                await visit.left(told=True)

    async def _whole(self, visit: Visit, receive: Receive, send: Send) -> None:
        async with aclosing(self._service.hub.follow(visit.answer.sid, -1)) as records:
            builder = await self._unless_gone(visit, receive, complete(records, CompletionBuilder(visit.answer)))
        if builder is None:
            return
        if builder.error is not None:
            await _refuse(visit, builder.error, send)
        else:
            await send_body(send, 200, builder.body(), [JSON, *visit_headers(visit)])
            await visit.done()

    async def _unless_gone(self, visit: Visit, receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
        """The outcome of `work`; None when the client hung up first, before it was told the stream's id."""
        result = None
        async with Until(lambda: disconnected(receive)) as until:
            result = await work
        if until.ended is None and not has_hung_up(receive):
            return result
        await visit.left(told=False)
        return None


async def _refuse(visit: Visit, error: ErrorInfo, send: Send) -> None:
    """An HTTP error in place of the answer, which may go on elsewhere when only this process could not."""
    await send_error(send, error, visit_headers(visit))
    if error.number in INTERRUPTIONS:
        await visit.left(told=True)
    else:
        await visit.failed()


def visit_headers(visit: Visit) -> Headers:
    """Those of the answer, and whether it was asked for before."""
    headers = [*answer_headers(visit.answer), *visit.headers]
    return [*headers, (b"x-edgewise-replayed", b"true")] if visit.replayed else headers


def answer_headers(answer: AnswerHeader) -> Headers:
    """Where the answer can be found again, and why it is made the way it is."""
    return [
        (b"x-edgewise-stream-id", answer.sid.encode()),
        (b"location", f"/v1/streams/{answer.sid}".encode()),
        (b"x-edgewise-mode", answer.mode.encode()),
        (b"x-edgewise-rule", quote(answer.rule).encode()),
        (b"x-trace-id", answer.trace_id.encode()),
    ]


def shown_records(hub: TailerHub, answer: AnswerHeader, after: int = -1, sleep: Sleep = asyncio.sleep) -> Records:
    """The records of an answer, those beyond `after` at the pace of its policy; without one, as fast as they come."""
    follow = partial(hub.follow, answer.sid)
    if answer.tokens_per_s is None:
        return follow(-1)
    return paced(follow, Pace(answer.tokens_per_s, sleep=sleep), after)


async def _until_token(records: Records, renderer: ChatRenderer) -> tuple[ErrorInfo | None, bytes]:
    """Read on until it is known that the answer has begun: its frames so far, or the error that came instead."""
    head = b""
    try:
        async for record in records:
            entry = decode_entry(record.payload)
            if isinstance(entry, ErrorEntry):
                return entry.error, b""
            head += renderer.render(record)
            if isinstance(entry, TokensEntry):
                break
    except EdgewiseError as failure:
        return failure.info(), b""
    return None, head


async def complete(records: Records, builder: CompletionBuilder) -> CompletionBuilder:
    """Fold the whole stream."""
    try:
        async for record in records:
            builder.add(record)
    except EdgewiseError as failure:
        builder.error = failure.info()
    return builder


async def render_frames(records: Records, renderer: Renderer, after: int = -1) -> AsyncGenerator[bytes, None]:
    """SSE bytes of every record beyond `after`; a log that fails in mid-stream ends in an in-band error, not a cut."""
    try:
        async with aclosing(records):
            async for record in records:
                block = renderer.render(record)
                if record.seq > after:
                    yield block
    except EdgewiseError as error:
        yield frame(error_json(error.info())) + DONE
