"""What people and nodes get wrong, against the running stack: a typed error with its remedy, never a traceback."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.sync.client import connect

from benchmarks.stack import Stack, free_port
from edgewise.local.models import find_model
from edgewise.wire.codec import decode_gateway_frame, encode_frame
from edgewise.wire.frames import Hello, ModelOffer, Reject, Welcome
from tests.system.reading import ask

pytestmark = pytest.mark.system
EDGE = find_model("edge")


def edgewise(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgewise.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def complaint(run: subprocess.CompletedProcess[str]) -> str:
    """What a failed command said."""
    said = run.stdout + run.stderr
    assert run.returncode != 0
    assert "Traceback" not in said
    return " ".join(said.split())


def hello(stack: Stack, **fields: Any) -> Hello:
    usual = Hello(protocol_min=1, protocol_max=1, node_id="visitor", key=stack.keys["node"], kind="edge")
    return msgspec.structs.replace(usual, **fields)


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({"protocol_min": 0, "protocol_max": 0}, 1501),
        ({"protocol_min": 7, "protocol_max": 9}, 1501),
        ({"key": "ek_" + "x" * 43}, 1505),
        ({"key": ""}, 1505),
        ({"models": (ModelOffer(name=EDGE.name, version="f" * 64, weights_digest="e" * 64),)}, 1406),
        ({"models": (ModelOffer(name="never-heard-of", version="f" * 64),)}, 1102),
    ],
)
def test_a_node_that_may_not_join_is_told_why(stack: Stack, fields: dict[str, Any], number: int) -> None:
    with connect(stack.base_url.replace("http", "ws") + "/node/v1/session", compression=None) as socket:
        socket.send(encode_frame(hello(stack, **fields)))
        answer = decode_gateway_frame(socket.recv(timeout=20))
    assert isinstance(answer, Reject)
    assert answer.error.number == number
    assert answer.error.remedy


def test_a_node_in_order_is_welcome(stack: Stack) -> None:
    with connect(stack.base_url.replace("http", "ws") + "/node/v1/session", compression=None) as socket:
        socket.send(encode_frame(hello(stack)))
        assert isinstance(decode_gateway_frame(socket.recv(timeout=20)), Welcome)


@pytest.mark.parametrize("garbage", [b"", b"\x00", b"\xff" * 40, b"\x01not deflate", b"\x00\x81\xa1t\xa5hello"])
def test_garbage_on_the_node_socket_harms_nobody(stack: Stack, garbage: bytes) -> None:
    with connect(stack.base_url.replace("http", "ws") + "/node/v1/session", compression=None) as socket:
        socket.send(garbage)
        answer = decode_gateway_frame(socket.recv(timeout=20))
    assert isinstance(answer, Reject)
    assert ask(stack, max_tokens=2).done == 1


def test_wrong_keys_and_roles(stack: Stack) -> None:
    with httpx.Client(base_url=stack.base_url) as client:
        for path in ("/v1/models", "/admin/v1/nodes"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer ek_nope"}).status_code == 401
        as_app = {"authorization": f"Bearer {stack.keys['app']}"}
        as_node = {"authorization": f"Bearer {stack.keys['node']}"}
        assert client.get("/admin/v1/nodes", headers=as_app).json()["error"]["code"] == "forbidden"
        assert client.post("/v1/chat/completions", headers=as_node, json={}).status_code == 403


def test_the_command_line_says_what_to_do(stack: Stack, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert "edgewise up" in complaint(edgewise("ask", "hi", "--url", nowhere, "--key", stack.keys["app"]))
    wrong_key = edgewise("ask", "hi", "--url", stack.base_url, "--key", "ek_wrong")
    assert "key" in complaint(wrong_key)
    assert "gpt-9" in complaint(edgewise("ask", "hi", "--model", "gpt-9", "--data-dir", str(stack.data_dir)))


def test_a_stack_that_cannot_start_says_why(stack: Stack, tmp_path: Path) -> None:
    port = stack.base_url.rsplit(":", 1)[1]
    taken = complaint(edgewise("up", "--port", port, "--data-dir", str(tmp_path / "a")))
    assert port in taken
    assert "--port" in taken
    ports = ("--port", str(free_port()), "--edge-port", str(free_port()))
    twice = complaint(edgewise("up", *ports, "--data-dir", str(stack.data_dir)))
    assert str(stack.data_dir) in twice.replace(" ", "") or stack.data_dir.name in twice
    models = str(tmp_path / "no-such-models")
    missing = edgewise(
        "up",
        "--port",
        str(free_port()),
        "--edge-port",
        str(free_port()),
        "--data-dir",
        str(tmp_path / "b"),
        "--edge-model",
        models,
    )
    assert "no-such-models" in complaint(missing)
    file = tmp_path / "file"
    file.write_text("")
    assert "file" in complaint(edgewise("up", "--port", str(free_port()), "--data-dir", str(file / "x")))
