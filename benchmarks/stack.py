"""A whole stack for one run: `edgewise up` in a throw-away data directory, its events, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from control_plane.config import DATABASE_FILE
from edgewise.local.embedded_server import read_address
from edgewise.local.models import find_model
from edgewise.local.valkey import BROKER, TOKEN_LOG

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.1

Event = dict[str, Any]


class Stack:
    """A running stack: where it answers, its keys, and what `edgewise up --json` says while it runs."""

    def __init__(self, process: subprocess.Popen[str], data_dir: Path, port: int, edge_port: int) -> None:
        self.process = process
        self.data_dir = data_dir
        self.base_url = f"http://127.0.0.1:{port}"
        self.edge_url = f"http://127.0.0.1:{edge_port}"
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def keys(self) -> dict[str, str]:
        """The first keys by role."""
        keys: dict[str, str] = json.loads((self.data_dir / "keys.json").read_text())
        return keys

    def pid(self, child: str) -> int:
        """The process id of a child's newest incarnation."""
        return int(
            next(event["pid"] for event in reversed(self.events) if event.get("child") == child and "pid" in event)
        )

    def wait_for(self, wanted: Callable[[Event], bool], timeout_s: float = START_TIMEOUT_S, since: int = 0) -> Event:
        """The first wanted event from index `since` on. Raises RuntimeError when the stack ends or time is up."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._find(wanted, since) or not self._reader.is_alive(), timeout_s)
            event = self._find(wanted, since)
        if not found or event is None:
            raise RuntimeError(f"the stack did not do it: {self.events[-5:]}\n{self.log_tails()}")
        return event

    def wait_for_node(self, node_id: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until a node that `process` runs is connected. Raises RuntimeError when the process ends first."""
        headers = {"authorization": f"Bearer {self.keys['operator']}"}
        with httpx.Client(base_url=self.base_url, headers=headers) as client:
            while client.get(f"/admin/v1/nodes/{node_id}").status_code != 200:
                if process.poll() is not None:
                    raise RuntimeError(f"{node_id} ended with {process.returncode}\n{self.log_tails()}")
                time.sleep(POLL_S)

    def log_tails(self) -> str:
        """The last lines of every log file."""
        logs = sorted((self.data_dir / "logs").glob("*.log"))
        return "\n".join(f"== {log.name}\n" + "\n".join(log.read_text().splitlines()[-15:]) for log in logs)

    def stop(self) -> None:
        """End it as an operator would."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(STOP_TIMEOUT_S)

    def _find(self, wanted: Callable[[Event], bool], since: int) -> Event | None:
        return next((event for event in self.events[since:] if wanted(event)), None)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


class Gateway:
    """Another control plane on the log and the database of a stack, with no node of its own."""

    def __init__(self, stack: Stack, port: int, data_dir: Path, options: tuple[str, ...]) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        self.keys = stack.keys
        self.log = stack.data_dir / "logs" / f"gateway-{port}.log"
        command = [sys.executable, "-m", "edgewise.cli.main", "control", "--port", str(port)]
        command += ["--data-dir", str(data_dir), "--database-url", f"sqlite:///{stack.data_dir / DATABASE_FILE}"]
        for tier in ("edge", "cloud"):
            command += ["--model", str(find_model(tier).path)]
        addresses = {"LOG": TOKEN_LOG, "BROKER": BROKER}
        environ = os.environ | {"OMP_NUM_THREADS": "1"}
        environ |= {f"EDGEWISE_{name}_URL": read_address(stack.data_dir, kind) for name, kind in addresses.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=environ)

    def wait_for_nodes(self, edge: int = 1, cloud: int = 1) -> None:
        """Wait until it answers and knows of this many nodes. Raises RuntimeError when it ends first."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._nodes() != {"edge": edge, "cloud": cloud}:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the gateway does not see the nodes\n{self.log.read_text()[-3000:]}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """SIGKILL: nobody says goodbye."""
        self.process.kill()
        self.process.wait()

    def _nodes(self) -> dict[str, int]:
        try:
            found: dict[str, int] = httpx.get(f"{self.base_url}/readyz", verify=False).json()["nodes"]
        except httpx.TransportError:
            return {}
        return found


@contextlib.contextmanager
def second_gateway(stack: Stack, *options: str, data_dir: Path | None = None) -> Iterator[Gateway]:
    """Start another gateway beside a stack (in its data directory unless another is given); yield when it knows the
    stack's nodes, kill it at the end. Raises RuntimeError."""
    gateway = Gateway(stack, free_port(), data_dir or stack.data_dir, options)
    try:
        gateway.wait_for_nodes()
        yield gateway
    finally:
        gateway.kill()


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running_stack(*options: str, data_dir: Path | None = None) -> Iterator[Stack]:
    """Start `edgewise up --json`, yield when it is ready, stop it at the end. Raises RuntimeError."""
    with tempfile.TemporaryDirectory(prefix="edgewise-") as temporary:
        directory = data_dir or Path(temporary)
        port, edge_port = free_port(), free_port()
        command = [sys.executable, "-m", "edgewise.cli.main", "up", "--json", "--data-dir", str(directory)]
        command += ["--port", str(port), "--edge-port", str(edge_port), *options]
        environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
        stack = Stack(process, directory, port, edge_port)
        try:
            stack.wait_for(lambda event: event["event"] == "ready")
            yield stack
        finally:
            stack.stop()
