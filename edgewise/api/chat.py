"""POST /v1/chat/completions. Errors before the first token are HTTP errors; after it they travel in the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import quote

from edgewise.api.asgi import (
    ClientGoneError,
    Headers,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    send_body,
    send_error,
    send_stream,
)
from edgewise.api.service import AnswerService
from edgewise.dialects.chat import parse_chat_request
from edgewise.dialects.openai_errors import error_json
from edgewise.dialects.render import AnswerHeader, ChatRenderer, CompletionBuilder
from edgewise.dialects.sse import DONE, frame
from edgewise.streams.entries import ErrorEntry, TokensEntry, decode_entry
from edgewise.streams.log import Record
from edgewise.wire.errors import EdgewiseError, ErrorInfo


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
        records = self._service.hub.follow(answer.sid, -1)
        respond = self._stream if request.stream else self._whole
        await respond(answer, records, receive, send)

    async def _stream(self, answer: AnswerHeader, records: AsyncIterator[Record], receive: Receive, send: Send) -> None:
        renderer = ChatRenderer(answer)
        try:
            error, head = await _until_token(records, renderer)
        except EdgewiseError as failure:
            error, head = failure.info(), b""
        if error is not None:
            await send_error(send, error, answer_headers(answer))
            return
        await send_stream(receive, send, render_frames(records, renderer), answer_headers(answer), head)

    async def _whole(self, answer: AnswerHeader, records: AsyncIterator[Record], receive: Receive, send: Send) -> None:
        builder = CompletionBuilder(answer)
        try:
            async for record in records:
                builder.add(record)
        except EdgewiseError as failure:
            builder.error = failure.info()
        if builder.error is not None:
            await send_error(send, builder.error, answer_headers(answer))
        else:
            await send_body(
                send, 200, builder.body(), [(b"content-type", b"application/json"), *answer_headers(answer)]
            )


def answer_headers(answer: AnswerHeader) -> Headers:
    """Where the answer can be found again, and why it is made the way it is."""
    return [
        (b"x-edgewise-stream-id", answer.sid.encode()),
        (b"location", f"/v1/streams/{answer.sid}".encode()),
        (b"x-edgewise-mode", answer.mode.encode()),
        (b"x-edgewise-rule", quote(answer.rule).encode()),
    ]


async def _until_token(records: AsyncIterator[Record], renderer: ChatRenderer) -> tuple[ErrorInfo | None, bytes]:
    """Read on until it is known that the answer has begun: its frames so far, or the error that came instead."""
    head = b""
    async for record in records:
        entry = decode_entry(record.payload)
        if isinstance(entry, ErrorEntry):
            return entry.error, b""
        head += renderer.render(record)
        if isinstance(entry, TokensEntry):
            break
    return None, head


async def render_frames(
    records: AsyncIterator[Record], renderer: ChatRenderer, after: int = -1
) -> AsyncIterator[bytes]:
    """SSE bytes of every record beyond `after`; a log that fails in mid-stream ends in an in-band error, not a cut."""
    try:
        async with aclosing(records):  # type: ignore[type-var]
            async for record in records:
                block = renderer.render(record)
                if record.seq > after:
                    yield block
    except EdgewiseError as error:
        yield frame(error_json(error.info())) + DONE
