"""Two gateways on one log are stopped in turn under load: every answer comes whole to a client that comes back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.stack import free_port
from edgewise.dialects.sse import SseParser
from edgewise.local.models import find_model
from edgewise.local.valkey import ValkeyProcess
from tests.system.reading import ENDLESS, PLAIN

pytestmark = pytest.mark.system
TOKENS, TOKENS_PER_S, LOAD = 100, 20, 4
START_S, POLL_S = 60.0, 0.05
SERVICE_RESTART = 1012


def until(true: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + START_S
    while not true():
        assert time.monotonic() < give_up_at, what
        time.sleep(POLL_S)


@dataclass
class Gateway:
    """A control plane and one edge agent that knows no other."""

    folder: Path
    log_url: str
    name: str
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def keys(self) -> dict[str, str]:
        keys: dict[str, str] = json.loads((self.folder / "keys.json").read_text())
        return keys

    def start_control(self) -> None:
        words = ["--port", str(self.port), "--data-dir", str(self.folder), "--model", str(find_model("edge").path)]
        environ = {"EDGEWISE_LOG_URL": self.log_url, "EDGEWISE_DRAIN_S": "0.2"}
        self._start("control", *words, **environ)

    def wait(self) -> None:
        until(self._is_ready, f"{self.name} was not ready")

    def start_agent(self) -> None:
        words = ["--url", self.url, "--key-file", str(self.folder / "keys.json"), "--name", self.name]
        words += ["--model", str(find_model("edge").path), "--data-dir", str(self.folder / self.name)]
        words += ["--local-port", "0", "--label", "shared=true", "--throttle", str(TOKENS_PER_S), "--slots", str(LOAD)]
        self._start("agent", *words)

    def wait_for_node(self) -> None:
        headers = {"authorization": f"Bearer {self.keys['operator']}"}
        path = f"{self.url}/admin/v1/nodes/{self.name}"
        until(lambda: httpx.get(path, headers=headers, **PLAIN).status_code == 200, f"no node {self.name}")

    def stop_control(self) -> int:
        """SIGTERM, as a rolling update does; the exit code."""
        control = self.processes["control"]
        control.send_signal(signal.SIGTERM)
        return control.wait(30)

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _start(self, role: str, *words: str, **environ: str) -> None:
        command = [sys.executable, "-m", "edgewise.cli.main", role, *words]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | environ
        with (self.folder / f"{self.name}-{role}.log").open("ab") as log:
            self.processes[role] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def _is_ready(self) -> bool:
        assert self.processes["control"].poll() is None, (self.folder / f"{self.name}-control.log").read_text()[-3000:]
        try:
            return httpx.get(f"{self.url}/readyz", **PLAIN).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def gateways(valkey_server: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    folder = tmp_path_factory.mktemp("gateways")
    pair = [Gateway(folder, valkey_server.url, name) for name in ("a", "b")]
    try:
        for gateway in pair:
            gateway.start_control()
        for gateway in pair:
            gateway.wait()
            gateway.start_agent()
        for gateway in pair:
            gateway.wait_for_node()
        yield pair
    finally:
        for gateway in pair:
            gateway.kill()


@dataclass
class Client:
    """Reads one answer to its end, from whichever gateway is there, by its cursor."""

    gateways: list[Gateway]
    sid: str = ""
    cursor: str = ""
    chunks: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    done: int = 0
    moves: int = 0

    @property
    def text(self) -> str:
        choices = [choice for chunk in self.chunks for choice in chunk["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def finishes(self) -> list[str]:
        reasons = [choice["finish_reason"] for chunk in self.chunks for choice in chunk["choices"]]
        return [reason for reason in reasons if reason]

    def read(self, reread: bool = False) -> Client:
        give_up_at = time.monotonic() + START_S
        for gateway in cycle(self.gateways):
            assert time.monotonic() < give_up_at, self
            with contextlib.suppress(httpx.TransportError):
                self._read_one(gateway, reread)
            if self.done:
                return self
            self.moves += 1
            time.sleep(POLL_S)
        raise AssertionError("unreachable")

    def _read_one(self, gateway: Gateway, reread: bool) -> None:
        headers = {"authorization": f"Bearer {gateway.keys['app']}"}
        messages = [{"role": "user", "content": "Count from 1 to 30."}]
        body = {"model": "edgewise", "messages": messages, "stream": True, "max_tokens": TOKENS, "temperature": 0}
        body |= {"edgewise": {"mode": "edge"}} | ENDLESS
        if self.sid:
            headers |= {"last-event-id": self.cursor} if self.cursor and not reread else {}
            request = httpx.stream("GET", f"{gateway.url}/v1/streams/{self.sid}", headers=headers, timeout=30)
        else:
            request = httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
        with request as response:
            if response.status_code != 200:
                response.read()
                self.errors.append(response.json()["error"]["code"])
                return
            self.sid = response.headers["x-edgewise-stream-id"]
            self._fold(response)

    def _fold(self, response: httpx.Response) -> None:
        parser, interrupted = SseParser(), False
        for block in response.iter_raw():
            for event in parser.feed(block):
                if event.data == "[DONE]":
                    self.done += not interrupted
                    continue
                chunk = json.loads(event.data)
                if "error" in chunk:
                    self.errors.append(chunk["error"]["code"])
                    interrupted = True
                else:
                    self.chunks.append(chunk)
                    self.cursor = event.id or self.cursor


def test_a_rolling_restart_under_load_loses_no_answer(gateways: list[Gateway]) -> None:
    one, other = gateways
    stop_under_load(one, other)
    one.start_control()
    one.wait()  # its node may come later: an answer that was taken up waits for one
    stop_under_load(other, one)


def stop_under_load(stopped: Gateway, staying: Gateway) -> None:
    clients = [Client([stopped, staying]) for _ in range(LOAD)]
    with ThreadPoolExecutor(LOAD + 2) as pool:
        reading: list[Future[Client]] = [pool.submit(client.read) for client in clients]
        until(lambda: all(len(client.chunks) > 5 for client in clients), "no text came")
        getting = Client([stopped], clients[0].sid)
        got = pool.submit(getting._read_one, stopped, True)
        until(lambda: len(getting.chunks) > 1, "nothing came again")
        with socket_of(stopped) as socket:
            socket.send(json.dumps({"type": "subscribe", "id": clients[0].sid, "credit": 1000}))
            assert [json.loads(socket.recv())["type"] for _ in range(2)] == ["hello", "frame"]
            code = pool.submit(stopped.stop_control)
            messages = [json.loads(message) for message in until_closed(socket)]
            assert socket.protocol.close_code == SERVICE_RESTART
        finished = [future.result() for future in reading]
        got.result()
        assert code.result() == 0
    for client in finished:
        was_read_whole(client, staying)
    assert len({client.text for client in finished}) == 1
    moves = [client.moves for client in finished]
    assert any(moves), "nothing was stopped in mid-answer"
    assert all(client.errors for client in finished if client.moves), "somebody was cut off without a word"
    the_socket_was_sent_away(messages)
    assert (getting.done, getting.finishes, getting.errors) == (0, [], [])
    assert getting.chunks[-1]["edgewise"]["reconnect_after_ms"]


def was_read_whole(client: Client, staying: Gateway) -> None:
    """Stopped in mid-answer by one gateway, made to its end by the other, and the log has the same text."""
    assert client.finishes == ["length"]
    assert client.done == 1
    assert set(client.errors) <= {"shutting_down"}
    again = Client([staying], client.sid).read(reread=True)
    assert again.text == client.text
    assert again.chunks[-1]["edgewise"]["tokens"] == TOKENS


def the_socket_was_sent_away(messages: list[dict[str, Any]]) -> None:
    """Whole frames without a hole, then a word that says so."""
    *frames, goodbye = messages
    assert goodbye["type"] == "goodbye"
    seqs = [frame["seq"] for frame in frames]
    assert seqs == list(range(1, len(frames) + 1))


def socket_of(gateway: Gateway) -> ClientConnection:
    headers = {"authorization": f"Bearer {gateway.keys['app']}"}
    return connect(gateway.url.replace("http", "ws") + "/v1/streams", additional_headers=headers)


def until_closed(socket: ClientConnection) -> Iterator[str | bytes]:
    """Every message until the server closes."""
    while True:
        try:
            yield socket.recv(timeout=30)
        except ConnectionClosed:
            return
