"""The log over TCP, as a server of one's own is reached: the client library takes other paths there."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.stack import free_port
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.local.valkey import find_binary


async def test_a_stream_over_tcp(tmp_path: Path) -> None:
    port = free_port()
    command = [str(find_binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    log = ValkeyStreamLog(connect(f"redis://127.0.0.1:{port}/0"))
    try:
        await log.create("s", owner="k", request=b"r")  # waits for the server to come up
        claim = await log.claim("s", holder="a", lease_s=5.0, seen_epoch=0)
        await log.append("s", epoch=claim.epoch, seq=0, payloads=["你好".encode()], end=True)
        assert [record.payload.decode() for record in await log.read("s", after=-1)] == ["你好"]
        assert (await log.head("s")).status == "done"
    finally:
        await log.aclose()
        server.kill()
        server.wait()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///no/such/valkey.sock"])
async def test_a_server_that_is_not_there_is_said_plainly(url: str) -> None:
    from edgewise.wire.errors import LogUnavailableError

    log = ValkeyStreamLog(connect(url), retry_for_s=0.05)
    with pytest.raises(LogUnavailableError):
        await log.expired()
    await log.aclose()
