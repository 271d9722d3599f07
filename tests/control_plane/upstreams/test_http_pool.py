"""Connections that are kept, replaced, bounded and let go, against real servers on loopback."""

import asyncio

import pytest

from control_plane.upstreams.errors import HttpConnectError, HttpCutError, HttpResponseError
from control_plane.upstreams.http_client import HttpClient
from tests.factories.http_servers import (
    BODY_MAX_BYTES,
    Peer,
    always,
    chunked,
    hanging,
    http_server,
    once,
    post,
    response,
    stale,
    until,
)

# Keep-alive -----------------------------------------------------------------------------------------------------------


async def test_a_connection_is_used_again_and_shared_by_the_targets_of_an_origin() -> None:
    async with http_server(always(response())) as server, HttpClient() as client:
        one, two = (client.target("POST", f"{server.url()}/{name}", {}) for name in "ab")
        for target in (one, two, one):
            await post(client, target)
        assert one.pool is two.pool
        assert server.connections == 1


@pytest.mark.parametrize("wire", [response(b"{}", "connection: close"), response(b"{}", version="1.0")])
async def test_a_connection_that_ends_is_not_kept(wire: bytes) -> None:
    async with http_server(always(wire)) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        await post(client, target)
        assert target.pool.idle == 0
        await server.until_left(1)


async def test_a_kept_connection_that_the_peer_closed_is_replaced_once() -> None:
    async with http_server(stale(b"")) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        await post(client, target)
        assert await post(client, target) == b"fresh"
        assert server.connections == 2


async def test_it_is_not_tried_again_after_a_byte_came() -> None:
    async with http_server(stale(b"H")) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        await post(client, target)
        with pytest.raises(HttpCutError):
            await post(client, target)
        assert server.connections == 1


async def test_it_is_not_tried_a_third_time() -> None:
    async with http_server(stale(b"", fresh=b"")) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        await post(client, target)
        with pytest.raises(HttpCutError, match="before the response"):
            await post(client, target)
        assert server.connections == 2


async def test_a_connection_closed_while_idle_leaves_the_pool() -> None:
    async with http_server(once(response())) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        await post(client, target)
        await until(lambda: target.pool.open == target.pool.idle == 0)
        assert await post(client, target) == b"{}"
        assert server.connections == 2


async def test_the_pool_is_bounded_and_expires() -> None:
    async with http_server(always(response())) as server, HttpClient(idle_max=2, idle_s=0.05) as client:
        target = client.target("POST", server.url(), {})
        answers = [await client.request(target, b"") for _ in range(4)]
        assert target.pool.open == server.connections == 4
        for answer in answers:
            assert await answer.read(BODY_MAX_BYTES) == b"{}"
            answer.close()
        assert target.pool.idle == 2
        await server.until_left(2)
        await until(lambda: target.pool.idle == target.pool.open == 0)
        await server.until_left(4)


@pytest.mark.parametrize(("rest", "kept"), [(b"0\r\n\r\n", 1), (b"1\r\nx\r\n0\r\n\r\n", 1), (b"zz\r\n", 0), (b"", 0)])
async def test_an_end_that_comes_after_the_reader_has_all_it_needs_keeps_the_connection(rest: bytes, kept: int) -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(chunked(b"all")[:-5])
        await left.wait()
        await peer.send(rest)
        if rest:
            await peer.gone()

    async with http_server(script) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        with await client.request(target, b"") as answer:
            assert await anext(answer) == b"all"
            answer.whole = True
        assert (target.pool.open, target.pool.idle) == (1, 0)
        left.set()
        await until(lambda: target.pool.open == target.pool.idle == kept)


async def test_an_end_that_does_not_come_is_not_waited_for_long() -> None:
    async with http_server(hanging(chunked(b"all")[:-5])) as server, HttpClient(linger_s=0.05) as client:
        target = client.target("POST", server.url(), {})
        with await client.request(target, b"") as answer:
            assert await anext(answer) == b"all"
            answer.whole = True
        await server.until_left(1)


async def test_a_connection_that_cannot_go_on_is_not_waited_for() -> None:
    async with http_server(hanging(response(b"", "connection: close"))) as server, HttpClient(linger_s=99) as client:
        with await client.request(client.target("POST", server.url(), {}), b"") as answer:
            answer.whole = True
        await server.until_left(1)


# Leaving --------------------------------------------------------------------------------------------------------------


async def test_leaving_early_hangs_up() -> None:
    async with http_server(hanging(chunked(b"first")[:-5])) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        with await client.request(target, b"") as answer:
            assert await anext(answer) == b"first"
        await server.until_left(1)
        assert target.pool.idle == 0
        with pytest.raises(HttpResponseError, match="closed before"):
            await anext(answer)


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 2", chunked(b"first")[:-5]])
async def test_cancellation_hangs_up(wire: bytes) -> None:
    async with http_server(hanging(wire)) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        task = asyncio.create_task(post(client, target))
        await until(lambda: server.connections == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.until_left(1)
        await until(lambda: target.pool.open == 0)


async def test_an_answer_before_the_request_was_read_is_an_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(response(b"too large", status="413 Content Too Large"))
        await peer.gone()

    async with http_server(script) as server, HttpClient() as client:
        target = client.target("POST", server.url(), {})
        with await client.request(target, bytes(8_000_000)) as answer:
            assert answer.status == 413
            assert await answer.read(BODY_MAX_BYTES) == b"too large"
    await server.until_left(1)


async def test_each_connection_expires_in_its_own_time() -> None:
    async with http_server(always(response())) as server, HttpClient(idle_s=0.04) as client:
        target = client.target("POST", server.url(), {})
        now = asyncio.get_running_loop().time
        one, two = [await client.request(target, b"") for _ in range(2)]
        one.close()
        later = now() + 0.02
        await until(lambda: now() >= later)
        two.close()
        await until(lambda: target.pool.idle == 0)
        await server.until_left(2)


async def test_a_connection_that_is_made_while_the_client_closes_is_closed() -> None:
    async with http_server(hanging(b"")) as server:
        client = HttpClient()
        task = asyncio.create_task(client.request(client.target("POST", server.url(), {}), b""))
        await asyncio.sleep(0)
        await client.aclose()
        with pytest.raises(HttpCutError, match="this side"):
            await task


async def test_closing_the_client_closes_all_of_it() -> None:
    async with http_server(hanging(chunked(b"first")[:-5])) as server:
        client = HttpClient()
        target = client.target("POST", server.url(), {})
        task = asyncio.create_task(post(client, target))
        answer = await client.request(target, b"")
        await until(lambda: server.connections == 2)
        await client.aclose()
        assert target.pool.open == 0
        await server.until_left(2)
        with pytest.raises(HttpCutError, match="this side"):
            await task
        with pytest.raises(HttpCutError, match="this side"):
            await answer.read(BODY_MAX_BYTES)
        with pytest.raises(HttpConnectError, match="closed"):
            await client.request(target, b"")
