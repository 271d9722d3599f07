"""GET and DELETE /v1/streams/{id}: read an answer again from any cursor, or stop it."""

from __future__ import annotations

import msgspec

from edgewise.api.asgi import Receive, Scope, Send, header, query, send_body, send_error, send_stream
from edgewise.api.chat import answer_headers, render_frames
from edgewise.api.service import AnswerService
from edgewise.dialects.render import ChatRenderer
from edgewise.streams.cursor import parse_after
from edgewise.streams.log import Head
from edgewise.wire.errors import CursorAheadError, EdgewiseError


class Streams:
    """The resource as an ASGI app; the router puts the id into `path_params["sid"]`."""

    def __init__(self, service: AnswerService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sid: str = scope["path_params"]["sid"]
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
        _check_cursor(after, head, sid)
        if head.status != "open" and after == head.next_seq - 1:
            await send_body(send, 204, b"")  # tells an EventSource that there is nothing to reconnect for
            return
        answer = await self._service.header(sid)
        records = self._service.hub.follow(sid, -1)
        frames = render_frames(records, ChatRenderer(answer), after)
        await send_stream(receive, send, frames, answer_headers(answer))


def _check_cursor(after: int, head: Head, sid: str) -> None:
    if after >= head.next_seq:
        raise CursorAheadError(
            f"The cursor {sid}/{after} is ahead of the stream, which ends at {head.next_seq - 1}",
            where="Last-Event-ID or ?after=",
            remedy="read from the start (?after=-1)",
        )
