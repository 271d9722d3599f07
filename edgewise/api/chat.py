"""POST /v1/chat/completions. Errors before the first token are HTTP errors; after it they travel in the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar
from urllib.parse import quote

from edgewise.api.asgi import (
    JSON,
    ClientGoneError,
    Headers,
    Receive,
    Scope,
    Send,
    disconnected,
    header,
    read_body,
    send_body,
    send_error,
    send_stream,
)
from edgewise.api.host import Caller
from edgewise.api.service import AnswerService
from edgewise.dialects.chat import parse_chat_request
from edgewise.dialects.openai_errors import error_json
from edgewise.dialects.render import AnswerHeader, ChatRenderer, CompletionBuilder
from edgewise.dialects.sse import DONE, frame
from edgewise.streams.entries import ErrorEntry, TokensEntry, decode_entry
from edgewise.streams.log import Record
from edgewise.wire.errors import EdgewiseError, ErrorInfo

Records = AsyncGenerator[Record, None]
T = TypeVar("T")


class ChatCompletions:
    """The endpoint as an ASGI app."""

    def __init__(self, service: AnswerService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = self._service.host.authenticate(header(scope, b"authorization"))
            request = parse_chat_request(await read_body(receive))
            answer = await self._service.begin(caller, request)
        except ClientGoneError:
            return
        except EdgewiseError as error:
            await send_error(send, error.info())
            return
        respond = self._stream if request.stream else self._whole
        async with aclosing(self._service.hub.follow(answer.sid, -1)) as records:
            await respond(caller, answer, records, receive, send)

    async def _stream(
        self, caller: Caller, answer: AnswerHeader, records: Records, receive: Receive, send: Send
    ) -> None:
        renderer = ChatRenderer(answer)
        begun = await self._unless_gone(caller, answer, receive, _until_token(records, renderer))
        if begun is None:
            return
        error, head = begun
        if error is not None:
            await send_error(send, error, answer_headers(answer))
            return
        await send_stream(receive, send, render_frames(records, renderer), answer_headers(answer), head)

    async def _whole(
        self, caller: Caller, answer: AnswerHeader, records: Records, receive: Receive, send: Send
    ) -> None:
        builder = await self._unless_gone(caller, answer, receive, _complete(records, CompletionBuilder(answer)))
        if builder is None:
            return
        if builder.error is not None:
            await send_error(send, builder.error, answer_headers(answer))
        else:
            await send_body(send, 200, builder.body(), [JSON, *answer_headers(answer)])

    async def _unless_gone(
        self, caller: Caller, answer: AnswerHeader, receive: Receive, work: Coroutine[Any, Any, T]
    ) -> T | None:
        """The outcome of `work`; None when the client hung up first. Nobody was told the stream's id then, so nobody
        could ever read on: the answer is cancelled."""
        working, gone = asyncio.create_task(work), asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            with suppress(EdgewiseError):  # nobody is left to hear of it
                await self._service.cancel(caller, answer.sid)
            return None
        finally:
            working.cancel()
            gone.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)


def answer_headers(answer: AnswerHeader) -> Headers:
    """Where the answer can be found again, and why it is made the way it is."""
    return [
        (b"x-edgewise-stream-id", answer.sid.encode()),
        (b"location", f"/v1/streams/{answer.sid}".encode()),
        (b"x-edgewise-mode", answer.mode.encode()),
        (b"x-edgewise-rule", quote(answer.rule).encode()),
    ]


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


async def _complete(records: Records, builder: CompletionBuilder) -> CompletionBuilder:
    """Fold the whole stream."""
    try:
        async for record in records:
            builder.add(record)
    except EdgewiseError as failure:
        builder.error = failure.info()
    return builder


async def render_frames(records: Records, renderer: ChatRenderer, after: int = -1) -> AsyncGenerator[bytes, None]:
    """SSE bytes of every record beyond `after`; a log that fails in mid-stream ends in an in-band error, not a cut."""
    try:
        async with aclosing(records):
            async for record in records:
                block = renderer.render(record)
                if record.seq > after:
                    yield block
    except EdgewiseError as error:
        yield frame(error_json(error.info())) + DONE
