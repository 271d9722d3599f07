"""The stream socket over real endpoints: whole answers frame by frame, cursors, keys that end, leaving in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgewise.api.repeats import Held
from edgewise.api.socket_messages import Limits
from edgewise.api.stream_socket import StreamSocket, credentials_of
from edgewise.ids import new_id
from edgewise.wire.errors import UnauthenticatedError
from tests.edgewise.api.conftest import WORDS, Api

QUESTION = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}]}
Message = dict[str, Any]


class Wire:
    """A client's end of one socket, without a network."""

    def __init__(self) -> None:
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self._out: asyncio.Queue[Message] = asyncio.Queue()
        self.closed: Message = {}
        self._in.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> Message:
        return await self._in.get()

    async def send(self, message: Any) -> None:
        assert not self.closed, message
        if message["type"] == "websocket.close":
            self.closed = message
        self._out.put_nowait(message)

    def say(self, **fields: Any) -> None:
        self._in.put_nowait({"type": "websocket.receive", "text": json.dumps(fields)})

    def go(self) -> None:
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def raw(self) -> Message:
        return await asyncio.wait_for(self._out.get(), 5)

    async def hear(self) -> Message:
        message = await self.raw()
        assert message["type"] == "websocket.send", message
        heard: Message = json.loads(message["text"])
        return heard

    async def frames(self, sid: str) -> list[Message]:
        """Frames of one stream to its end, with a credit given for each."""
        found = []
        while (message := await self.hear())["type"] == "frame":
            assert message["id"] == sid
            found.append(message)
            self.say(type="credit", id=sid, n=1)
        assert message == {"type": "end", "id": sid}
        return found

    def is_silent(self) -> bool:
        return self._out.empty()


@pytest.fixture
def socket(api: Api) -> StreamSocket:
    return StreamSocket(api.service, api.visits, api.leaving)


@asynccontextmanager
async def opened(socket: StreamSocket, key: str = "alice", **scope: Any) -> AsyncIterator[Wire]:
    wire = Wire()
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    serving = asyncio.create_task(socket({"type": "websocket", "headers": headers} | scope, wire.receive, wire.send))
    accepted = await wire.raw()
    if accepted["type"] == "websocket.accept":
        assert (await wire.hear())["type"] == "hello"
    else:
        wire.closed = accepted
    yield wire
    wire.go()
    await asyncio.wait_for(serving, 5)


def data_of(frames: list[Message]) -> list[Any]:
    return [frame["data"] for frame in frames]


async def sse_data(api: Api, sid: str, after: int = -1) -> list[Any]:
    body = (await api.read(f"/v1/streams/{sid}?after={after}")).text
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


async def test_a_question_and_its_answer_on_one_socket(api: Api, socket: StreamSocket) -> None:
    async with opened(socket) as wire:
        wire.say(type="ask", ref="r", request=QUESTION | {"stream_options": {"include_usage": True}})
        asked = await wire.hear()
        assert (asked["type"], asked["ref"], asked["replayed"]) == ("asked", "r", False)
        frames = await wire.frames(asked["id"])
    assert data_of(frames) == await sse_data(api, asked["id"])
    text = "".join(data["choices"][0]["delta"].get("content", "") for data in data_of(frames) if data["choices"])
    assert text == "".join(WORDS)
    seqs = [frame["seq"] for frame in frames if "seq" in frame]
    assert seqs == list(range(len(seqs)))
    assert "seq" not in frames[-2]  # the end record has two frames; the cursor stands on its last one


async def test_every_cursor_resumes_exactly_behind_it(api: Api, socket: StreamSocket) -> None:
    sid = (await api.ask(stream=True)).headers["x-edgewise-stream-id"]
    async with opened(socket) as wire:
        for after in range(-1, (await api.service.log.head(sid)).next_seq - 1):
            for cursor in (after, f"{sid}/{after}"):
                wire.say(type="subscribe", id=sid, after=cursor)
                frames = await wire.frames(sid)
                assert data_of(frames) == await sse_data(api, sid, after)
                assert frames[0]["seq"] == after + 1


async def test_without_credit_nothing_comes_and_nothing_piles_up(api: Api, socket: StreamSocket) -> None:
    sid = (await api.ask(stream=True)).headers["x-edgewise-stream-id"]
    async with opened(socket) as wire:
        wire.say(type="subscribe", id=sid, credit=2)
        assert [(await wire.hear())["seq"] for _ in range(2)] == [0, 1]
        wire.say(type="ping", nonce="n")
        assert await wire.hear() == {"type": "pong", "nonce": "n"}
        assert wire.is_silent()
        wire.say(type="credit", id=sid, n=1)
        assert (await wire.hear())["seq"] == 2
        wire.say(type="unsubscribe", id=sid)
        assert await wire.hear() == {"type": "unsubscribed", "id": sid}
        wire.say(type="subscribe", id=sid, after=2, credit=1)
        assert (await wire.hear())["seq"] == 3


async def test_many_streams_on_one_socket(api: Api, socket: StreamSocket) -> None:
    sids = [(await api.ask(stream=True)).headers["x-edgewise-stream-id"] for _ in range(5)]
    seen: dict[str, list[Message]] = {sid: [] for sid in sids}
    async with opened(socket) as wire:
        for sid in sids:
            wire.say(type="subscribe", id=sid, credit=100)
        ended = 0
        while ended < len(sids):
            message = await wire.hear()
            ended += message["type"] == "end"
            seen[message["id"]].append(message)
    for sid, messages in seen.items():
        assert data_of(messages[:-1]) == await sse_data(api, sid)


async def test_a_live_answer_is_cancelled_from_the_socket(api: Api, socket: StreamSocket) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=2)]
    async with opened(socket) as wire:
        wire.say(type="ask", ref="r", request=QUESTION, credit=50)
        sid = (await wire.hear())["id"]
        assert (await wire.hear())["type"] == "frame"
        wire.say(type="cancel", id=sid)
        heard = [await wire.hear()]
        while not {"cancelled", "end"} <= {message["type"] for message in heard}:
            heard.append(await wire.hear())
    (cancelled,) = (message for message in heard if message["type"] == "cancelled")
    assert cancelled["status"] == "cancelled"
    assert (await api.service.log.head(sid)).next_seq == cancelled["last_seq"] + 1


@pytest.mark.parametrize(
    ("key", "message", "code"),
    [
        ("bob", {"type": "subscribe", "id": "{sid}"}, "stream_not_found"),
        ("bob", {"type": "cancel", "id": "{sid}"}, "stream_not_found"),
        ("alice", {"type": "subscribe", "id": "nonsense"}, "stream_not_found"),
        ("alice", {"type": "subscribe", "id": "{sid}", "after": 999}, "cursor_ahead"),
        ("alice", {"type": "subscribe", "id": "{sid}", "after": "banana"}, "cursor_malformed"),
    ],
)
async def test_what_a_key_may_not_read(api: Api, socket: StreamSocket, key: str, message: Message, code: str) -> None:
    sid = (await api.ask(stream=True)).headers["x-edgewise-stream-id"]
    async with opened(socket, key) as wire:
        wire.say(**message | {"id": message["id"].format(sid=sid)})
        told = await wire.hear()
        assert (told["type"], told["error"]["code"], "id" in told) == ("error", code, True)
        wire.say(type="ping")
        assert (await wire.hear())["type"] == "pong"  # the socket goes on


async def test_a_bad_question_is_told_by_its_ref(api: Api, socket: StreamSocket) -> None:
    async with opened(socket) as wire:
        wire.say(type="ask", ref="r", request={"model": "nope", "messages": QUESTION["messages"]})
        told = await wire.hear()
        assert (told["ref"], told["error"]["code"]) == ("r", "model_not_found")
        wire.say(type="ask", ref="r", request=["no", "object"])
        assert (await wire.hear())["error"]["code"] == "invalid_request"


async def test_a_question_with_a_key_is_asked_once(api: Api, socket: StreamSocket) -> None:
    async with opened(socket) as wire, opened(socket) as other:
        for each in (wire, other):
            each.say(type="ask", ref="r", request=QUESTION, credit=100, idempotency_key="K")
        asked = [await each.hear() for each in (wire, other)]
        texts = [data_of(await each.frames(asked[0]["id"])) for each in (wire, other)]
    assert asked[0]["id"] == asked[1]["id"]
    assert sorted(message["replayed"] for message in asked) == [False, True]
    assert texts[0] == texts[1]


async def test_too_many_faults_close_the_socket(api: Api) -> None:
    socket = StreamSocket(api.service, api.visits, api.leaving, limits=Limits(faults=2))
    async with opened(socket) as wire:
        wire.say(type="nonsense")
        wire.say(type="nonsense")
        codes = [(await wire.hear())["error"]["code"] for _ in range(3)]
        assert codes == ["socket_message_invalid"] * 2 + ["too_many_faults"]
        assert (await wire.raw())["code"] == 4125


async def test_a_key_that_ends_closes_its_sockets_and_no_others(api: Api) -> None:
    ticks: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(seconds: float) -> None:
        assert seconds <= 1
        await ticks.get()

    socket = StreamSocket(api.service, api.visits, api.leaving, sleep=sleep)
    live, authenticate = {"alice", "bob"}, api.host.authenticate

    def check(authorization: str) -> Any:
        if authorization.removeprefix("Bearer ") not in live:
            raise UnauthenticatedError("This API key has expired")
        return authenticate(authorization)

    api.host.authenticate = check  # type: ignore[method-assign]
    async with opened(socket) as alice, opened(socket, "bob") as bob:
        live.remove("alice")
        ticks.put_nowait(None)
        assert (await alice.hear())["error"]["code"] == "invalid_api_key"
        assert (await alice.raw())["code"] == 4200
        bob.say(type="ping")
        assert (await bob.hear())["type"] == "pong"
        live.remove("bob")
        socket.recheck()  # hosts that hear of it need not wait
        assert (await bob.hear())["error"]["code"] == "invalid_api_key"


async def test_leaving_says_goodbye_after_a_whole_frame(api: Api, socket: StreamSocket) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=2)]
    async with opened(socket) as wire:
        wire.say(type="ask", ref="r", request=QUESTION, credit=50)
        assert (await wire.hear())["type"] == "asked"
        assert (await wire.hear())["type"] == "frame"
        api.leaving.begin()
        while (message := await wire.hear())["type"] == "frame":
            pass
        assert message["type"] == "goodbye"
        assert message["reconnect_after_ms"] > 0
        assert (await wire.raw())["code"] == 1012
    async with opened(socket, extensions={"websocket.http.response": {}}) as late:
        assert late.closed["status"] == 503
        assert (b"retry-after", b"1") in late.closed["headers"]


async def test_without_a_live_key_there_is_no_socket(socket: StreamSocket) -> None:
    async with opened(socket, "", extensions={"websocket.http.response": {}}) as wire:
        assert (wire.closed["type"], wire.closed["status"]) == ("websocket.http.response.start", 401)
    async with opened(socket, "") as plain:
        assert plain.closed == {"type": "websocket.close", "code": 1008, "reason": "invalid_api_key"}


@pytest.mark.parametrize(
    ("headers", "offered", "found"),
    [
        ([], ["edgewise.v1", "bearer.ek_x"], "Bearer ek_x"),
        ([(b"authorization", b"Bearer ek_y")], ["bearer.ek_x"], "Bearer ek_y"),
        ([], ["edgewise.v1"], ""),
    ],
)
def test_where_a_key_comes_from(headers: list[tuple[bytes, bytes]], offered: list[str], found: str) -> None:
    assert credentials_of({"headers": headers, "subprotocols": offered}) == found


async def test_the_key_is_never_said_back(socket: StreamSocket) -> None:
    wire = Wire()
    scope = {"type": "websocket", "headers": [], "subprotocols": ["edgewise.v1", "bearer.alice"]}
    serving = asyncio.create_task(socket(scope, wire.receive, wire.send))
    assert await wire.raw() == {"type": "websocket.accept", "subprotocol": "edgewise.v1"}
    wire.go()
    await serving


async def test_a_question_with_a_key_whose_client_left_goes_on(api: Api, socket: StreamSocket) -> None:
    opening, gate = asyncio.Event(), asyncio.Event()
    hold = api.repeats.hold

    async def late(owner: str, key: str, mine: Held) -> Held:
        opening.set()
        await gate.wait()
        return await hold(owner, key, mine)

    api.repeats.hold = late  # type: ignore[method-assign]
    api.gated()
    async with opened(socket) as wire:
        wire.say(type="ask", ref="r", request=QUESTION, idempotency_key=new_id())
        await opening.wait()
        wire.go()
        gate.set()
    (admission,) = api.host.admissions  # with a key it goes on: the client can come back for it
    assert (await api.service.log.head(admission.sid)).status == "open"


class Clogged(Wire):
    """A client's end on which sending waits, although what was sent arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.flows = asyncio.Event()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if '"asked"' in message.get("text", ""):
            await self.flows.wait()


async def test_who_unsubscribes_while_it_is_being_told_of_its_answer_leaves_nobody_reading(
    api: Api, socket: StreamSocket
) -> None:
    api.gated()
    wire = Clogged()
    headers = [(b"authorization", b"Bearer alice")]
    serving = asyncio.create_task(socket({"type": "websocket", "headers": headers}, wire.receive, wire.send))
    assert (await wire.raw())["type"] == "websocket.accept"
    assert (await wire.hear())["type"] == "hello"
    wire.say(type="ask", ref="q", request=QUESTION)
    sid = (await wire.hear())["id"]
    wire.say(type="unsubscribe", id=sid)
    assert await wire.hear() == {"type": "unsubscribed", "id": sid}
    wire.flows.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert api.service.hub.readers == 0
    wire.go()
    await asyncio.wait_for(serving, 5)
