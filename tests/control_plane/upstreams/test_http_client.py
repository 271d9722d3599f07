"""The client against real servers on loopback that misbehave at every point."""

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from control_plane.upstreams.errors import (
    HttpConnectError,
    HttpCutError,
    HttpError,
    HttpResponseError,
    HttpTimeoutError,
)
from control_plane.upstreams.http_client import HttpClient
from edgewise.wire.errors import ConfigError
from tests.factories.http_servers import (
    BODY_MAX_BYTES,
    Peer,
    Script,
    always,
    chunked,
    http_server,
    once,
    post,
    response,
    stale,
)


async def ask(script: Script) -> bytes:
    """The body of one answer from a server of its own."""
    async with http_server(script) as server, HttpClient() as client:
        return await post(client, client.target("POST", server.url(), {}))


async def test_a_request_is_what_was_asked_for() -> None:
    seen: list[tuple[str, bytes]] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(response(b"ok", "X-Kind: test"))

    async with http_server(script) as server, HttpClient() as client:
        target = client.target("POST", f"{server.url()}/a b?q=ü&x=%20", {"authorization": "Bearer k"})
        with await client.request(target, "你好".encode(), b"traceparent: 00-1\r\n") as answer:
            assert (answer.status, answer.headers[b"x-kind"]) == (200, b"test")
            assert await answer.read(2) == b"ok"
    (head, body), lines = seen[0], seen[0][0].split("\r\n")
    assert lines[:2] == ["POST /v1/a%20b?q=%C3%BC&x=%20 HTTP/1.1", f"host: 127.0.0.1:{server.port}"]
    assert {"authorization: Bearer k", "traceparent: 00-1", "accept-encoding: identity", "content-length: 6"} <= {
        *lines
    }
    assert body.decode() == "你好"
    assert head.count("content-length") == 1


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (response(b"hello"), b"hello"),
        (chunked(b"hel", b"lo"), b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + response(b"hello"), b"hello"),
        (response(gzip.compress(b"hello", mtime=0), "content-encoding: gzip"), b"hello"),
        (response(b"hello", "content-encoding: identity"), b"hello"),
        (
            chunked(
                *(bytes([byte]) for byte in gzip.compress(b"hello", mtime=0)), headers="content-encoding: x-gzip\r\n"
            ),
            b"hello",
        ),
        (response(b"x" * 8_000_000), b"x" * 8_000_000),
    ],
)
async def test_every_framing_is_read(wire: bytes, body: bytes) -> None:
    assert await ask(always(wire)) == body


@pytest.mark.parametrize(
    ("wire", "kind", "says"),
    [
        (b"", HttpCutError, "before the response"),
        (b"HTTP/1.1 20", HttpCutError, "in the middle of the headers"),
        (b"HTTP/1.1 200 OK\r\ncontent-len", HttpCutError, "in the middle of the headers"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", HttpCutError, "in the middle of the headers"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", HttpCutError, "in the middle of the body"),
        (chunked(b"hello")[:-8], HttpCutError, "in the middle of the body"),
        (chunked(b"hello")[:-5], HttpCutError, "in the middle of the body"),
        (chunked(b"hello")[:-2], HttpCutError, "in the middle of the body"),
        (b"hello there\r\n\r\n", HttpResponseError, "malformed"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, HttpResponseError, "headers of more than"),
        (response(b"hello", "content-encoding: br"), HttpResponseError, "not asked for"),
        (response(b"hello", "content-encoding: gzip"), HttpResponseError, "not the gzip"),
        (response(gzip.compress(b"hello", mtime=0)[:-3], "content-encoding: gzip"), HttpCutError, "gzip"),
        (response(b"x" * (BODY_MAX_BYTES + 1)), HttpResponseError, "a body of more than"),
    ],
)
async def test_every_fault_is_a_typed_error(wire: bytes, kind: type[HttpError], says: str) -> None:
    with pytest.raises(kind, match=says):
        await ask(once(wire))


async def test_a_trickle_is_read_as_it_comes() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        for byte in chunked(b"hel", b"lo"):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)

    assert await ask(script) == b"hello"


async def test_blocks_arrive_while_the_answer_still_runs() -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        wire = chunked(b"first", b"second")
        await peer.send(wire[:-16])
        await go_on.wait()
        await peer.send(wire[-16:])

    async with http_server(script) as server, HttpClient() as client:
        with await client.request(client.target("POST", server.url(), {}), b"") as answer:
            assert await anext(answer) == b"first"
            go_on.set()
            assert await anext(answer) == b"second"
            with pytest.raises(StopAsyncIteration):
                await anext(answer)


# Connecting -----------------------------------------------------------------------------------------------------------


async def test_nobody_listening_is_an_error_of_the_connection() -> None:
    async with HttpClient() as client:
        with pytest.raises(HttpConnectError, match="no connection"):
            await client.request(client.target("POST", "http://127.0.0.1:9/", {}), b"")


async def test_a_connection_takes_no_longer_than_it_may() -> None:
    async def silent(peer: Peer) -> None:
        await peer.gone()

    async with http_server(silent) as server, HttpClient(connect_timeout_s=0.05) as client:
        with pytest.raises(HttpTimeoutError, match="within"):
            await client.request(client.target("POST", server.url("https"), {}), b"")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_an_ipv6_address_is_a_host() -> None:
    hosts: list[str] = []

    async def script(peer: Peer) -> None:
        hosts.append((await peer.request())[0].split("\r\n")[1])
        await peer.send(response())

    try:
        async with http_server(script, host="::1") as server, HttpClient() as client:
            assert await post(client, client.target("POST", server.url(host="[::1]"), {})) == b"{}"
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    assert hosts == [f"host: [::1]:{server.port}"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A fresh self-signed certificate for localhost, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([openssl, *kind, *name, *files], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


async def test_tls_names_its_host_and_is_kept_and_cut_like_any_other(
    certificate: tuple[Path, Path], server_tls: ssl.SSLContext
) -> None:
    names: list[str] = []
    server_tls.sni_callback = lambda sslobject, name, context: names.append(name)
    trust = ssl.create_default_context(cafile=certificate[0])
    script = stale(chunked(b"x" * 400_000)[:-9])
    async with http_server(script, tls=server_tls) as server, HttpClient(tls=trust) as client:
        target = client.target("POST", server.url("https", "localhost"), {})
        assert await post(client, target) == b"{}"
        with pytest.raises(HttpCutError, match="in the middle of the body"):
            await post(client, target)
        assert names == ["localhost"]


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)])
async def test_a_certificate_that_is_not_trusted_or_of_another_name_is_refused(
    certificate: tuple[Path, Path], server_tls: ssl.SSLContext, host: str, trusted: bool
) -> None:
    trust = ssl.create_default_context(cafile=certificate[0]) if trusted else None
    async with http_server(always(response()), tls=server_tls) as server, HttpClient(tls=trust) as client:
        with pytest.raises(HttpConnectError, match="certificate"):
            await post(client, client.target("POST", server.url("https", host), {}))


# Targets --------------------------------------------------------------------------------------------------------------

BAD_URLS = ("ftp://host/", "host:80", "http://", "http://user:secret@host/", "http://host:99999/", "http://ho st/")


@pytest.mark.parametrize("url", [*BAD_URLS, f"http://{'a' * 64}/", "http://[::1/", "http://a..b/", "http://host:x/"])
async def test_a_url_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClient().target("POST", url, {})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("authorization", "secret\r\nx: y"), ("x y", "a"), ("x", "secret你")])
async def test_a_header_that_cannot_be_sent_is_refused_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClient().target("POST", "http://host/", {name: value})
    assert "secret" not in str(caught.value)


async def test_the_usual_port_is_not_named_and_a_key_is_in_no_repr() -> None:
    target = HttpClient().target("POST", "http://Bücher.example", {"authorization": "secret"})
    assert b"POST / HTTP/1.1\r\nhost: xn--bcher-kva.example\r\n" in target.head
    assert "secret" not in repr(target)
