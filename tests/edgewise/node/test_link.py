"""The node's socket against gateways that are absent, wrong or rude. The good case is tests/control_plane/nodes."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from edgewise.generation.state import GenerationState
from edgewise.node.backoff import BackoffConfig
from edgewise.node.link import LinkConfig, NodeLink
from edgewise.node.outbox import BULK_MAX_FRAMES
from edgewise.node.session import SessionConfig
from edgewise.node.telemetry import MemoryTelemetry
from edgewise.routing.tier import Chunk, Tier
from edgewise.wire.codec import decode_node_frame, encode_frame
from edgewise.wire.errors import SessionError
from edgewise.wire.frames import Generate, Goodbye, Hello, NodeFrame, Reject, Tokens, Welcome
from tests.factories.clock import settle
from tests.factories.states import make_state
from tests.factories.tiers import GatedTier, manifest_of

pytestmark = pytest.mark.timeout(20)
QUICK = BackoffConfig(first_s=0.01, base_s=0.01, cap_s=0.05, slow_s=60.0)
WELCOME = encode_frame(Welcome(protocol=1, connection_epoch=1, heartbeat_s=0.05, lost_after_s=0.3))


@asynccontextmanager
async def dialling(url: str, tier: Tier | None = None) -> AsyncIterator[NodeLink]:
    config = LinkConfig(
        url=url,
        key="ek_secret",
        node_id="phone",
        kind="edge",
        backoff=QUICK,
        session=SessionConfig(welcome_timeout_s=0.2),
    )
    link = NodeLink(
        config, tier or GatedTier(open_gate=True), [manifest_of()], MemoryTelemetry("s"), rng=random.Random(1)
    )
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        await link.stop()
        await task


@asynccontextmanager
async def gateway(behave: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async with serve(behave, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def error_code(link: NodeLink) -> str:
    while link.last_error is None:
        await asyncio.sleep(0.005)
    return link.last_error.code


@pytest.mark.parametrize(
    ("given", "dialled"),
    [
        ("ws://host:1", "ws://host:1/node/v1/session"),
        ("http://host:1/", "ws://host:1/node/v1/session"),
        ("https://host", "wss://host/node/v1/session"),
        ("wss://host/node/v1/session", "wss://host/node/v1/session"),
    ],
)
def test_the_address_may_be_that_of_the_control_plane(given: str, dialled: str) -> None:
    config = LinkConfig(url=given, key="ek_secret", node_id="phone", kind="edge")
    assert config.session_url == dialled
    assert "ek_secret" not in repr(config)


async def test_a_gateway_that_is_not_there_is_named_with_its_address(unused_tcp_port: int) -> None:
    async with dialling(f"ws://127.0.0.1:{unused_tcp_port}") as link:
        assert await error_code(link) == "session_error"
        assert link.last_error is not None and str(unused_tcp_port) in link.last_error.where
        assert not link.connected.is_set()


async def test_an_answer_in_plain_http_is_no_gateway_and_its_slot_is_kept() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "busy")
        response.headers["Retry-After"] = "7"
        return response

    async with serve(_silent, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with dialling(f"ws://127.0.0.1:{port}") as link:
            await error_code(link)
            assert link.last_error is not None
            assert "503" in link.last_error.message and link.last_error.retry_after_s == 7.0


async def _silent(socket: ServerConnection) -> None:
    await socket.wait_closed()


async def test_a_gateway_that_never_answers_is_given_up() -> None:
    async with gateway(_silent) as url, dialling(url) as link:
        assert await error_code(link) == "session_error"


async def test_a_gateway_that_goes_silent_is_left_and_dialled_again() -> None:
    dials: list[Hello] = []

    async def behave(socket: ServerConnection) -> None:
        word = decode_node_frame(await socket.recv())
        assert isinstance(word, Hello)
        dials.append(word)
        await socket.send(WELCOME)
        await socket.wait_closed()

    async with gateway(behave) as url, dialling(url):
        while len(dials) < 2:
            await asyncio.sleep(0.005)
    assert [word.dial for word in dials[:2]] == [1, 2]
    assert dials[1].last_connection_epoch == 1 and dials[0].run_id == dials[1].run_id != ""


@pytest.mark.parametrize("noise", ["text", b"\xff", encode_frame(Tokens(attempt="a", n0=0))])
async def test_noise_is_answered_with_its_number(noise: bytes | str) -> None:
    said: list[NodeFrame] = []
    codes: list[int | None] = []

    async def behave(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(noise)
        said.append(decode_node_frame(await socket.recv()))
        await socket.wait_closed()
        codes.append(socket.close_code)

    async with gateway(behave) as url, dialling(url) as link:
        assert await error_code(link) == "frame_malformed"
    assert isinstance(said[0], Goodbye) and codes[0] == 4503


async def test_a_reject_is_kept_and_logged_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def behave(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(encode_frame(Reject(error=SessionError("Not today", remedy="come tomorrow").info())))
        await socket.wait_closed()

    async with gateway(behave) as url, dialling(url) as link:
        await error_code(link)
    assert not [record for record in caplog.records if record.name == "edgewise.node.link.socket"], "frames in a log"
    node_logs = [record.getMessage() for record in caplog.records if record.name.startswith("edgewise")]
    assert any("come tomorrow" in line for line in node_logs)
    assert not any("ek_secret" in line for line in node_logs)


class LoudTier(GatedTier):
    """Talks until the link takes no more; then it says the end, and rests until it is closed."""

    link: NodeLink

    def __init__(self) -> None:
        super().__init__()
        self.said_all: set[str] = set()

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        try:
            while len(self.link._outbox) < BULK_MAX_FRAMES:
                yield Chunk(0, (), "x" * 1_000_000)
                await asyncio.sleep(0.001)
            self.said_all.add(attempt)
            yield Chunk(0, (), "the end", "stop")
            await asyncio.Event().wait()
        finally:
            self.closed.append(attempt)
            self.changed.set()


async def test_an_attempt_that_waits_for_room_with_its_end_is_freed_when_the_link_breaks() -> None:
    tier = LoudTier()
    waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def behave(socket: ServerConnection) -> None:
        """Reads nothing and asks for answers, until one's end finds the link full; its next caller hears nothing."""
        await socket.recv()
        if waiting.done():
            await socket.wait_closed()
            return
        socket.transport.pause_reading()
        await socket.send(encode_frame(Welcome(protocol=1, connection_epoch=1, heartbeat_s=60, lost_after_s=60)))
        await tier.link.connected.wait()
        state = msgspec.Raw(msgspec.msgpack.encode(make_state()))
        for number in itertools.count():
            attempt = f"a{number}"
            await socket.send(encode_frame(Generate(attempt=attempt, state=state)))
            while attempt not in tier.said_all or attempt in tier.link._session._attempts:
                await asyncio.sleep(0.005)
            if attempt in tier.link._work._attempts:
                break
        waiting.set_result(number)
        socket.transport.abort()

    async with gateway(behave) as url, dialling(url, tier) as link:
        tier.link = link
        await tier.until(tier.closed, await waiting + 1)
        await settle()
        assert link._work._attempts == {}


async def test_stop_says_goodbye() -> None:
    said: list[NodeFrame] = []

    async def behave(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(WELCOME)
        async for message in socket:
            said.append(decode_node_frame(message))

    async with gateway(behave) as url:
        async with dialling(url) as link:
            await link.connected.wait()
        await asyncio.sleep(0)
    assert isinstance(said[-1], Goodbye) and said[-1].reason == "leaving"
