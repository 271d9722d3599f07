"""The protocol without a socket: whatever the cuts of the byte stream, the body is the body, or an error."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.upstreams.errors import HttpCutError, HttpError, HttpResponseError
from control_plane.upstreams.http_connection import BUFFERED_MAX_BYTES, HEAD_MAX_BYTES, HttpConnection
from tests.factories.http_servers import chunked, response

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nserver: old\r\n\r\n"


class MemoryTransport(asyncio.Transport):
    """Remembers what the protocol asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent = 0
        self.aborted = self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


async def opened() -> tuple[HttpConnection, MemoryTransport]:
    connection, transport = HttpConnection(lambda lost: None), MemoryTransport()
    connection.connection_made(transport)
    connection.send(b"POST")
    return connection, transport


async def finished(reading: Awaitable[bytes]) -> bytes:
    """The result of something that must not have to wait."""
    async with asyncio.timeout(0):
        return await reading


async def read(connection: HttpConnection) -> bytes:
    await connection.head()
    blocks = []
    while block := await connection.block():
        blocks.append(block)
    return b"".join(blocks)


def pieces(wire: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    places = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    return (wire[start:end] for start, end in pairwise(places))


def framings(blocks: list[bytes]) -> dict[str, bytes]:
    body = b"".join(blocks)
    return {
        "length": response(body),
        "chunked": b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(*(block for block in blocks if block)),
        "until close": UNTIL_CLOSE + body,
    }


BLOCKS = st.lists(st.binary(max_size=40), max_size=6)
CUTS = st.lists(st.integers(0, 10_000), max_size=12)
FRAMING = st.sampled_from(["length", "chunked", "until close"])


@given(BLOCKS, CUTS, FRAMING)
def test_whatever_the_cuts_the_blocks_joined_are_the_body(blocks: list[bytes], cuts: list[int], framing: str) -> None:
    async def go() -> None:
        connection, transport = await opened()
        for piece in pieces(framings(blocks)[framing], cuts):
            connection.data_received(piece)
        if framing == "until close":
            connection.eof_received()
        assert await finished(read(connection)) == b"".join(blocks)
        assert connection.settle() is (framing != "until close")
        assert not transport.aborted

    asyncio.run(go())


@given(BLOCKS, CUTS, FRAMING, st.integers(0, 10_000), st.booleans())
def test_what_was_cut_short_never_passes_as_whole(
    blocks: list[bytes], cuts: list[int], framing: str, end: int, reset: bool
) -> None:
    wire = framings(blocks)[framing]
    kept = wire[: end % len(wire)]

    async def go() -> None:
        connection, _ = await opened()
        for piece in pieces(kept, cuts):
            connection.data_received(piece)
        connection.connection_lost(ConnectionResetError() if reset else None)
        if framing == "until close" and not reset and len(kept) >= len(UNTIL_CLOSE):
            assert await finished(read(connection)) == kept[len(UNTIL_CLOSE) :]
        else:
            with pytest.raises(HttpCutError):
                await finished(read(connection))
        assert not connection.settle()

    asyncio.run(go())


@given(st.binary(max_size=200), CUTS, st.booleans())
def test_any_bytes_end_in_a_body_or_a_typed_error(junk: bytes, cuts: list[int], begun: bool) -> None:
    async def go() -> None:
        connection, _ = await opened()
        for piece in pieces((b"HTTP/1.1 200 OK\r\n" if begun else b"") + junk, cuts):
            connection.data_received(piece)
        connection.connection_lost(None)
        try:
            assert isinstance(await finished(read(connection)), bytes)
        except HttpError as error:
            assert isinstance(error, HttpCutError | HttpResponseError)

    asyncio.run(go())


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "malformed"),
        (b"\x16\x03\x01\x00\xff", "malformed"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "transfer-encoding"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nab", "transfer-encoding"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", "protocol|malformed"),
        (b"HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", "headers of more than"),
        (response(b"x", *(["abcd: efgh"] * 20_000)), "headers of more than"),
    ],
)
async def test_what_is_not_http_is_refused_and_hung_up_on(wire: bytes, says: str) -> None:
    connection, transport = await opened()
    connection.data_received(wire)
    with pytest.raises(HttpResponseError, match=says):
        await finished(read(connection))
    assert transport.aborted
    assert not connection.settle()


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 OK\r\na: ", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"abcdefgh: x\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"trailer: x\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nt:", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x" * 1000),
    ],
)
async def test_endless_talk_without_a_body_is_ended(first: bytes, again: bytes) -> None:
    connection, transport = await opened()
    if first:
        connection.data_received(first)
    fed = 0
    while not transport.aborted:
        connection.data_received(again)
        fed += len(again)
        assert fed <= HEAD_MAX_BYTES + len(again)
    with pytest.raises(HttpResponseError, match="headers of more than"):
        await finished(read(connection))


async def test_a_reader_that_is_behind_stops_the_sender() -> None:
    connection, transport = await opened()
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    fed = 0
    while not transport.paused:
        connection.data_received(b"x" * 1000)
        fed += 1000
    assert BUFFERED_MAX_BYTES < fed <= BUFFERED_MAX_BYTES + 1000
    assert len(await finished(connection.block())) == fed
    assert not transport.paused


async def test_a_connection_that_was_paused_reads_on_for_the_next_request() -> None:
    connection, transport = await opened()
    connection.data_received(response(b"x" * (BUFFERED_MAX_BYTES + 1)))
    assert transport.paused
    assert connection.settle()
    assert not transport.paused


@pytest.mark.parametrize("in_one_piece", [True, False])
async def test_bytes_that_nobody_asked_for_are_no_answer(in_one_piece: bool) -> None:
    connection, _ = await opened()
    other = response(b"poison")
    if in_one_piece:
        connection.data_received(response(b"ok") + other)
    else:
        connection.data_received(response(b"ok"))
        connection.data_received(other)
    assert await finished(read(connection)) == b"ok"
    assert not connection.settle()


async def test_bytes_on_an_idle_connection_close_it() -> None:
    connection, transport = await opened()
    connection.data_received(response(b"ok"))
    assert connection.settle()
    connection.data_received(response(b"poison"))
    assert transport.aborted
    assert not connection.usable


@pytest.mark.parametrize(
    ("wire", "again"),
    [
        (response(b"ok"), True),
        (response(b"", status="204 No Content"), True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (response(b"ok", "connection: close"), False),
        (response(b"ok", "Connection: Close"), False),
        (response(b"ok", version="1.0"), False),
        (chunked(b"ok", headers="x: y\r\n"), True),
    ],
)
async def test_who_may_be_asked_again(wire: bytes, again: bool) -> None:
    connection, _ = await opened()
    connection.data_received(wire)
    await finished(read(connection))
    assert connection.settle() is again


async def test_a_request_that_is_not_sent_yet_keeps_the_connection_from_the_next() -> None:
    connection, transport = await opened()
    transport.unsent = 1
    connection.data_received(response(b"too large", status="413 Content Too Large"))
    await finished(read(connection))
    assert not connection.settle()


async def test_headers_are_lower_case_and_joined_and_trailers_are_none_of_them() -> None:
    connection, _ = await opened()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
    connection.data_received(head + b"2\r\nok\r\n0\r\nX-B: 3\r\n\r\n")
    assert await finished(read(connection)) == b"ok"
    assert connection.headers == {b"transfer-encoding": b"chunked", b"x-a": b"1, 2"}


async def test_what_came_before_the_cut_is_given_out_first() -> None:
    connection, _ = await opened()
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")
    connection.connection_lost(None)
    assert await finished(connection.block()) == b"hello"
    with pytest.raises(HttpCutError, match="in the middle of the body"):
        await finished(connection.block())


async def test_nothing_is_sent_to_a_peer_that_is_gone() -> None:
    connection, transport = HttpConnection(lambda lost: None), MemoryTransport()
    connection.connection_made(transport)
    connection.eof_received()
    connection.send(b"POST")
    assert not transport.written
    with pytest.raises(HttpCutError, match="before the response"):
        await finished(read(connection))


async def test_closing_it_ourselves_is_no_end_of_a_body() -> None:
    connection, transport = await opened()
    connection.data_received(UNTIL_CLOSE + b"half")
    connection.abort()
    connection.connection_lost(None)
    assert transport.aborted
    with pytest.raises(HttpCutError, match="this side"):
        await finished(read(connection))
