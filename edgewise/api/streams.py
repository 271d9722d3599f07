"""GET and DELETE /v1/streams/{id}: read an answer again from any cursor or as a whole, or stop it."""

from __future__ import annotations

from contextlib import aclosing

import msgspec

from edgewise.api.asgi import JSON, Receive, Scope, Send, header, query, send_body, send_error, send_stream
from edgewise.api.chat import answer_headers, complete, render_frames, shown_records
from edgewise.api.drain import Drain, goodbye_frame
from edgewise.api.service import AnswerService
from edgewise.api.visits import check_cursor
from edgewise.dialects.render import AnswerHeader, ChatRenderer, CompletionBuilder
from edgewise.dialects.shared_render import SharedRenderers
from edgewise.observability.context import adopt
from edgewise.streams.cursor import parse_after
from edgewise.wire.errors import EdgewiseError


class Streams:
    """The resource as an ASGI app; the router puts the id into `path_params["sid"]`.

    Whoever reads here can come back with a cursor, so readers are sent away as soon as `drain` begins. Those who come
    after that found no other process, and are served for as long as this one is there.
    """

    def __init__(self, service: AnswerService, drain: Drain | None = None) -> None:
        self._service = service
        self._drain = drain or Drain()
        self._renderers = SharedRenderers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sid: str = scope["path_params"]["sid"]
        adopt(header(scope, b"traceparent"))
        try:
            if scope["method"] == "DELETE":
                await self._cancel(scope, send, sid)
            else:
                await self._read(scope, receive, send, sid)
        except EdgewiseError as error:
            await send_error(send, error.info())

    async def _cancel(self, scope: Scope, send: Send, sid: str) -> None:
        caller = self._service.host.authenticate(header(scope, b"authorization"))
        head = await self._service.cancel(caller, sid)
        await send_body(
            send, 200, msgspec.json.encode({"id": sid, "status": head.status, "last_seq": head.next_seq - 1})
        )

    async def _read(self, scope: Scope, receive: Receive, send: Send, sid: str) -> None:
        caller = self._service.host.authenticate(header(scope, b"authorization"))
        asked = query(scope).get("after") or header(scope, b"last-event-id")
        after = parse_after(asked, sid) if asked else -1
        head = await self._service.head(caller, sid)
        check_cursor(after, head, sid)
        answer = await self._service.header(sid)
        if header(scope, b"accept").startswith("application/json"):
            await self._whole(send, answer)
        elif head.status != "open" and after == head.next_seq - 1:
            await send_body(send, 204, b"")  # tells an EventSource that there is nothing to reconnect for
        else:
            await self._stream(receive, send, answer, after)

    async def _stream(self, receive: Receive, send: Send, answer: AnswerHeader, after: int) -> None:
        renderer = self._renderers.reader(answer.sid, lambda: ChatRenderer(answer))
        frames = render_frames(shown_records(self._service.hub, answer, after), renderer, after)
        leave = None if self._drain.begun else self._drain.wait
        goodbye = goodbye_frame(answer)
        await send_stream(receive, send, frames, answer_headers(answer), leave=leave, goodbye=goodbye)

    async def _whole(self, send: Send, answer: AnswerHeader) -> None:
        """The answer as one object, when it has ended."""
        async with aclosing(self._service.hub.follow(answer.sid, -1)) as records:
            builder = await complete(records, CompletionBuilder(answer))
        if builder.error is not None:
            await send_error(send, builder.error, answer_headers(answer))
        else:
            await send_body(send, 200, builder.body(), [JSON, *answer_headers(answer)])
