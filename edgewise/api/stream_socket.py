"""WebSocket /v1/streams as an ASGI app: many streams on one socket. What may be said is in socket_session.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing, suppress

from edgewise.api.asgi import Receive, Scope, Send, header, send_error
from edgewise.api.chat import shown_records
from edgewise.api.drain import RECONNECT_AFTER_MS, Drain
from edgewise.api.host import Caller
from edgewise.api.service import AnswerService
from edgewise.api.socket_messages import (
    BEARER,
    SUBPROTOCOL,
    Ask,
    Cancelled,
    Error,
    FromServer,
    Limits,
    encode_message,
)
from edgewise.api.socket_session import (
    Action,
    Follow,
    HangUp,
    Leave,
    Open,
    Resume,
    Say,
    SocketSession,
    Stop,
    Subscription,
)
from edgewise.api.visits import Repetition, Visits, check_cursor
from edgewise.dialects.chat import parse_chat_request
from edgewise.dialects.openai_errors import error_body
from edgewise.dialects.render import ChatRenderer
from edgewise.streams.cursor import parse_after
from edgewise.streams.log import Record
from edgewise.wire.errors import EdgewiseError, ErrorInfo, ShuttingDownError

logger = logging.getLogger(__name__)
RECHECK_EVERY_S = 0.5
SERVICE_RESTART = 1012
ERROR_CODES_FROM = 3000
"""A socket that closes for a numbered error closes with this and the number."""
_DONE = b"[DONE]"


class StreamSocket:
    """The endpoint. Keys are looked at again every `recheck_every_s`: one that is no longer live closes its sockets.

    `recheck` does so at once, for hosts that hear of revocations.
    """

    def __init__(
        self,
        service: AnswerService,
        visits: Visits,
        drain: Drain,
        *,
        limits: Limits | None = None,
        recheck_every_s: float = RECHECK_EVERY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._service = service
        self._visits = visits
        self._drain = drain
        self._limits = limits or Limits()
        self._recheck_every_s = recheck_every_s
        self._sleep = sleep
        self._open: set[_Connection] = set()
        self._checking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        credentials = credentials_of(scope)
        try:
            self._refuse_while_draining()
            caller = self._service.host.authenticate(credentials)
        except EdgewiseError as error:
            await turn_away(scope, send, error)
            return
        chosen = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": chosen})
        connection = _Connection(self._service, self._visits, SocketSession(self._limits), caller, credentials, send)
        self._add(connection)
        try:
            await connection.talk(receive, self._drain)
        finally:
            self._remove(connection)
            await connection.close()

    @property
    def sessions(self) -> int:
        """Sockets that are open now."""
        return len(self._open)

    def recheck(self) -> None:
        """Close the sockets whose keys are no longer live."""
        for connection in tuple(self._open):
            try:
                self._service.host.authenticate(connection.credentials)
            except EdgewiseError as error:
                connection.hang_up(error)

    def _refuse_while_draining(self) -> None:
        if self._drain.begun:
            raise ShuttingDownError("This process is shutting down", remedy="connect again", retry_after_s=1.0)

    def _add(self, connection: _Connection) -> None:
        self._open.add(connection)
        if self._checking is None:
            self._checking = asyncio.create_task(self._recheck_often(), name="socket-keys")

    def _remove(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if not self._open and self._checking is not None:
            self._checking.cancel()
            self._checking = None

    async def _recheck_often(self) -> None:
        while True:
            await self._sleep(self._recheck_every_s)
            self.recheck()


class _Connection:
    """One socket: carries out what its session says."""

    def __init__(
        self,
        service: AnswerService,
        visits: Visits,
        session: SocketSession,
        caller: Caller,
        credentials: str,
        send: Send,
    ) -> None:
        self.credentials = credentials
        self._service = service
        self._visits = visits
        self._session = session
        self._caller = caller
        self._send = send
        self._hung_up: asyncio.Future[EdgewiseError] = asyncio.get_running_loop().create_future()
        self._reading: dict[Subscription, asyncio.Task[None]] = {}
        self._credited: dict[Subscription, asyncio.Event] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._gone = False

    def hang_up(self, error: EdgewiseError) -> None:
        """Close this socket because of `error`."""
        if not self._hung_up.done():
            self._hung_up.set_result(error)

    async def talk(self, receive: Receive, drain: Drain) -> None:
        """Until the client goes, the session or the key is over, or this process leaves."""
        await self._say(self._session.hello())
        hearing, leaving = asyncio.create_task(self._hear(receive)), asyncio.create_task(drain.wait())
        ends: set[asyncio.Future[None] | asyncio.Future[EdgewiseError]] = {hearing, leaving, self._hung_up}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                self._gone = True
                hearing.result()
            elif self._hung_up.done():
                await self._close_with(self._hung_up.result())
            else:
                await self._part()
        finally:
            for task in (hearing, leaving):
                task.cancel()
            await asyncio.gather(hearing, leaving, return_exceptions=True)

    async def close(self) -> None:
        """Stop reading. Questions that are being opened are waited for: their answers must not be left half open."""
        self._gone = True
        await _end(self._reading.values())
        await asyncio.gather(*self._asking, return_exceptions=True)
        await _end(self._reading.values())

    async def _part(self) -> None:
        """Leave after a whole frame; every stream can be resumed elsewhere."""
        self._gone = True
        goodbye = self._session.goodbye(RECONNECT_AFTER_MS)
        await _end(self._reading.values())
        await self._say(goodbye)
        await self._send({"type": "websocket.close", "code": SERVICE_RESTART, "reason": "service restart"})

    async def _close_with(self, error: EdgewiseError) -> None:
        self._gone = True
        await _end(self._reading.values())
        info = error.info()
        await self._say(Error(error_body(info)["error"]))
        code = ERROR_CODES_FROM + info.number
        await self._send({"type": "websocket.close", "code": code, "reason": info.code})

    async def _hear(self, receive: Receive) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            for action in self._session.received(message.get("bytes") or b"" if text is None else text):
                await self._do(action)
            if self._hung_up.done():
                await asyncio.Future()  # what a closing socket still says is not heard

    async def _do(self, action: Action) -> None:
        match action:
            case Say(message):
                await self._say(message)
            case Follow(subscription, after):
                self._follow(subscription, after)
            case Resume(subscription):
                if event := self._credited.get(subscription):
                    event.set()
            case Leave(subscription, message):
                if task := self._reading.get(subscription):
                    await _end([task])
                await self._say(message)
            case Stop(sid):
                await self._cancel(sid)
            case Open(ask):
                task = asyncio.create_task(self._ask(ask), name="socket-ask")
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            case HangUp(error):
                self.hang_up(error)

    async def _say(self, message: FromServer | None) -> None:
        """Send a message; the server waits here while the client does not take what it was sent."""
        if message is not None:
            with suppress(OSError):  # the client is gone, which `receive` will tell
                await self._send({"type": "websocket.send", "text": encode_message(message)})

    # Streams ----------------------------------------------------------------------------------------------------------

    def _follow(self, subscription: Subscription, after: int | str) -> None:
        """Begin to read, unless the client has left while it was being told that it may."""
        if subscription.over:
            return
        self._credited[subscription] = asyncio.Event()
        task = asyncio.create_task(self._read(subscription, after), name=f"socket-{subscription.sid}")
        self._reading[subscription] = task
        task.add_done_callback(lambda _: self._forget(subscription))

    def _forget(self, subscription: Subscription) -> None:
        self._reading.pop(subscription, None)
        self._credited.pop(subscription, None)

    async def _read(self, subscription: Subscription, after: int | str) -> None:
        """Send a stream to its end, as credits allow. What is not sent stays in the log, not here."""
        sid = subscription.sid
        try:
            seen = parse_after(str(after), sid)
            head = await self._service.head(self._caller, sid)
            check_cursor(seen, head, sid)
            answer = await self._service.header(sid)
            renderer = ChatRenderer(answer)
            async with aclosing(shown_records(self._service.hub, answer, seen)) as records:
                async for record in records:
                    frames = renderer.data(record)
                    if record.seq > seen:
                        await self._send_record(subscription, record, frames)
            await self._say(self._session.end(subscription))
        except EdgewiseError as error:
            await self._say(self._session.fail(subscription, error.info()))
        except Exception as error:  # noqa: BLE001 - its words may hold what was said
            logger.error("a stream of a socket broke: %s", type(error).__name__, extra={"stream": sid})
            fault = EdgewiseError("The stream cannot be read", remedy="subscribe again with your last cursor")
            await self._say(self._session.fail(subscription, fault.info()))

    async def _send_record(self, subscription: Subscription, record: Record, frames: list[bytes]) -> None:
        chunks = [data for data in frames if data != _DONE]
        for place, data in enumerate(chunks, 1):
            while (frame := self._session.frame(subscription, record, data, last=place == len(chunks))) is None:
                credited = self._credited[subscription]
                credited.clear()
                await credited.wait()
            await self._say(frame)

    async def _cancel(self, sid: str) -> None:
        try:
            head = await self._service.cancel(self._caller, sid)
        except EdgewiseError as error:
            await self._say(self._session.not_stopped(sid, error.info()))
            return
        await self._say(Cancelled(sid, head.status, head.next_seq - 1))

    async def _ask(self, ask: Ask) -> None:
        """Open an answer. One that was opened too late for its client to hear of is treated like a hang-up."""
        try:
            body = bytes(ask.request)
            request = parse_chat_request(body)
            said = Repetition(key=ask.idempotency_key) if ask.idempotency_key else None
            visit = await self._visits.open(self._caller, request, body, said)
        except EdgewiseError as error:
            await self._say_unless_gone(self._session.not_asked(ask, error.info()))
            return
        except Exception as error:  # noqa: BLE001 - its words may hold what was said
            logger.error("a question of a socket broke: %s", type(error).__name__)
            await self._say_unless_gone(self._session.not_asked(ask, _internal()))
            return
        if self._gone:
            await visit.left(told=False)
            return
        for action in self._session.asked(ask, visit.answer.sid, replayed=visit.replayed):
            await self._do(action)

    async def _say_unless_gone(self, message: FromServer) -> None:
        if not self._gone:
            await self._say(message)


def credentials_of(scope: Scope) -> str:
    """The Authorization header, or the key that a browser offers as the subprotocol `bearer.<key>`."""
    offered = [name for name in scope.get("subprotocols", ()) if name.startswith(BEARER)]
    said = header(scope, b"authorization")
    return said or (f"Bearer {offered[0].removeprefix(BEARER)}" if offered else "")


async def turn_away(scope: Scope, send: Send, error: EdgewiseError) -> None:
    """Refuse the upgrade with the error's HTTP status, where the server can do that."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.info().code})
        return

    async def send_http(message: object) -> None:
        assert isinstance(message, dict)
        await send(message | {"type": f"websocket.{message['type']}"})

    await send_error(send_http, error.info())


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _internal() -> ErrorInfo:
    return EdgewiseError("The question met an internal error", remedy="ask again").info()
