"""A sensitive request that starts on a device leaves no text anywhere else: wire and control plane are searched."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.stack import Stack, free_port
from edgewise.local.models import find_model
from tests.simulators.wiretap import Wiretap

pytestmark = pytest.mark.system
MARKER = "quizzical-heron"
SECRET = f"My {MARKER} social security number is 900-12-3456, is that fine? 我的密码是 password: {MARKER}-pw"


@dataclass(frozen=True)
class Device:
    """An agent that reaches its control plane through a wire that is listened to."""

    stack: Stack
    wire: Wiretap
    url: str

    def ask(self, content: str, **fields: Any) -> httpx.Response:
        body = {"model": "edgewise", "messages": [{"role": "user", "content": content}], "max_tokens": 12}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body | fields, timeout=60)


@pytest.fixture(scope="module")
def device(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with contextlib.closing(Wiretap(int(stack.base_url.rsplit(":", 1)[1]))) as wire:
        port, home = free_port(), tmp_path_factory.mktemp("device")
        command = [sys.executable, "-m", "edgewise.cli.main", "agent", "--url", f"http://127.0.0.1:{wire.port}"]
        command += ["--name", "phone", "--local-port", str(port), "--data-dir", str(home)]
        command += ["--key-file", str(stack.data_dir / "keys.json"), "--model", str(find_model("edge").path)]
        with (home / "agent.log").open("wb") as log:
            agent = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                device = Device(stack, wire, f"http://127.0.0.1:{port}")
                stack.wait_for_node("phone", agent)
                yield device
            finally:
                agent.terminate()
                agent.wait(30)


def test_the_wire_is_really_listened_to(device: Device) -> None:
    """The control: harmless text that goes to the cloud is heard, and so is the masked hello."""
    answer = device.ask("harmless-walrus, hello", edgewise={"mode": "cloud"})
    assert answer.json()["edgewise"]["tier"].startswith("cloud")
    assert b"harmless-walrus" in device.wire.heard()
    assert b"hello" in device.wire.heard()
    assert b"phone" in device.wire.heard()


@pytest.mark.parametrize("wish", ["", "cloud", "race", "prefer-cloud"])
def test_sensitive_text_stays(device: Device, wish: str) -> None:
    answer = device.ask(SECRET, edgewise={"mode": wish})
    assert answer.status_code == 200, answer.text
    assert answer.json()["edgewise"]["tier"].startswith("edge")
    assert_nothing_left(device)


def test_a_declared_secret_stays_too(device: Device) -> None:
    answer = device.ask(f"just a {MARKER}", edgewise={"mode": "cloud", "sensitivity": "secret"})
    assert answer.json()["edgewise"]["tier"].startswith("edge")
    assert_nothing_left(device)


def assert_nothing_left(device: Device) -> None:
    for word in (MARKER, "900-12-3456"):
        assert word.encode() not in device.wire.heard()
        assert not [path for path in files(device.stack.data_dir) if word.encode() in path.read_bytes()]


def files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())
