"""How soon a fleet decides by a new policy: from the operator's activation until each device has checked and kept it.

    python -m benchmarks.policy_push [--json] [--quick]

Two gateways on one token log and one SQLite file, devices on real WebSockets in a few processes, half at each gateway.
All of them share this machine's cores, so the fleet's own checking, which devices do side by side, stands in a queue.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.policy_workload import document, rules
from benchmarks.report import Floor, Report, Row, machine, percentile, row, show
from benchmarks.stack import free_port
from edgewise.local.keys_file import KEYS_FILE, read_keys
from edgewise.local.valkey import launch
from edgewise.signing import Ed25519Signer, Ed25519Verifier
from policies import Policy
from policies.bundle import open_bundle, pack

GATEWAYS: Final = 2
PROCESSES: Final = 4
WITHIN_S: Final = 120.0
FLOOR_S: Final = 2.0
RULES: Final = 10


@dataclass(frozen=True)
class Effort:
    """How many devices there are, and how often a policy is activated."""

    nodes: int
    rounds: int


@dataclass(frozen=True)
class Round:
    """Seconds after the activation was sent: each device's, and when the fleet view showed the last of them."""

    taken_s: list[float]
    shown_s: float


class Heard:
    """What the devices' processes say: by policy digest, the moments at which devices had taken it."""

    def __init__(self) -> None:
        self._moments: dict[str, list[float]] = {}
        self._changed = threading.Condition()

    def listen(self, process: subprocess.Popen[str]) -> None:
        """Read a process's lines until it ends."""
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def wait_for(self, digest: str, count: int) -> list[float]:
        """The moments, once there are `count`. Raises RuntimeError when time is up."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._moments.get(digest, [])) >= count, WITHIN_S):
                raise RuntimeError(f"{len(self._moments.get(digest, []))} of {count} devices took the policy in time")
            return list(self._moments[digest])

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            digest, moment = line.split()
            with self._changed:
                self._moments.setdefault(digest, []).append(float(moment))
                self._changed.notify_all()


class Fleet:
    """Running gateways and devices."""

    def __init__(self, clients: Sequence[httpx.Client], heard: Heard, nodes: int) -> None:
        self._clients = clients
        self._heard = heard
        self._nodes = nodes

    def push(self, name: str) -> Round:
        """Activate the ten-rule policy under a name, and wait for everybody."""
        text = document(rules(RULES)).replace('"name": "bench"', f'"name": "{name}"')
        digest, began = Policy.load(text).digest, time.monotonic()
        told = self._clients[0].post("/admin/v1/policies", json={"text": text, "activate": True}).raise_for_status()
        moments = self._heard.wait_for(digest, self._nodes)
        shown_s = self._until_shown(told.json()["version"]) - began
        return Round([moment - began for moment in moments], shown_s)

    def start(self) -> None:
        """Wait until all devices decide by the policy of the first start."""
        active = self._clients[0].get("/admin/v1/policies/active").raise_for_status().json()
        self._heard.wait_for(active["digest"], self._nodes)

    def _until_shown(self, version: int) -> float:
        while True:
            nodes = self._clients[0].get("/admin/v1/nodes").raise_for_status().json()["items"]
            held = [node["policy"] for node in nodes if node["policy"]]
            if sum(each["applied"] and each["policy_version"] == version for each in held) == self._nodes:
                return time.monotonic()
            time.sleep(0.05)


@contextlib.contextmanager
def running_fleet(effort: Effort) -> Iterator[Fleet]:
    """Start a log server, the gateways and the devices; all of it ends with the block. Raises RuntimeError."""
    with tempfile.TemporaryDirectory(prefix="ew-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        server = launch(folder)
        stack.callback(server.stop)
        server.wait_ready()
        ports = [free_port() for _ in range(GATEWAYS)]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for port, url in zip(ports, urls, strict=True):
            stack.enter_context(_gateway(folder, server.url, port))
            _until_answers(url)
        keys, heard = read_keys(folder / KEYS_FILE), Heard()
        share = effort.nodes // PROCESSES
        for number in range(PROCESSES):
            url = urls[number % GATEWAYS]
            heard.listen(stack.enter_context(_devices(folder, url, keys.node, number * share, share)))
        header = {"authorization": f"Bearer {keys.operator}"}
        clients = [stack.enter_context(httpx.Client(base_url=url, headers=header, timeout=30.0)) for url in urls]
        fleet = Fleet(clients, heard, share * PROCESSES)
        fleet.start()
        yield fleet


def _gateway(folder: Path, log_url: str, port: int) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "edgewise.cli.main", "control", "--port", str(port)]
    command += ["--data-dir", str(folder), "--log-url", log_url]
    return _process(command, {"EDGEWISE_ALLOW_UNREGISTERED_MODELS": "1"}, subprocess.DEVNULL)


def _devices(
    folder: Path, url: str, key: str, first: int, count: int
) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.policy_push_nodes", url, str(first), str(count), str(folder / "nodes")]
    return _process(command, {"EDGEWISE_BENCH_KEY": key}, subprocess.PIPE)


@contextlib.contextmanager
def _process(command: Sequence[str], environ: dict[str, str], stdout: int) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        command,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environ,
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(30.0)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _until_answers(url: str) -> None:
    give_up_at = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up_at:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=2.0).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the gateway at {url} is not ready")


def checking_s() -> float:
    """Processor seconds of one device's check of such a bundle: the median of some."""
    signer = Ed25519Signer.new()
    verifier = Ed25519Verifier([signer.public])
    raw = pack(Policy.load(document(rules(RULES))), signer, version=1, issued_at_s=1, not_after_s=10**10)
    times = []
    for _ in range(20):
        began = time.process_time()
        open_bundle(raw, verifier, 2.0)
        times.append(time.process_time() - began)
    return percentile(times, 50)


def rows(effort: Effort, rounds: Sequence[Round], limit_s: float) -> list[Row]:
    """Rows over all devices of all rounds. limit_s: the checks alone, on all cores of this machine."""
    taken = [seconds for each in rounds for seconds in each.taken_s]
    where = f"{effort.nodes} nodes, {GATEWAYS} gateways, {len(rounds)} activations"
    floor = Floor("ours", "<=", FLOOR_S)
    found = [
        row("policy applied, p50", where, "s", "lower", percentile(taken, 50), samples=len(taken)),
        row("policy applied, p95", where, "s", "lower", percentile(taken, 95), samples=len(taken), floor=floor),
        row("policy applied, max", where, "s", "lower", max(taken), limit=limit_s, samples=len(taken)),
    ]
    shown = [each.shown_s for each in rounds]
    return [*found, row("fleet view shows all, max", where, "s", "lower", max(shown), samples=len(shown))]


def run(effort: Effort) -> list[Row]:
    """The whole benchmark."""
    limit_s = checking_s() * effort.nodes / (os.cpu_count() or 1)
    with running_fleet(effort) as fleet:
        rounds = []
        for number in range(effort.rounds):
            rounds.append(fleet.push(f"push-{number}"))
            print(f"activation {number + 1} of {effort.rounds}: {max(rounds[-1].taken_s):.2f} s", file=sys.stderr)
    return rows(effort, rounds, limit_s)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="From an activation to the last device of a fleet.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quick", action="store_true", help="40 nodes, 2 activations")
    options = parser.parse_args()
    effort = Effort(40, 2) if options.quick else Effort(200, 10)
    show(Report("policy_push", machine(), run(effort)), as_json=options.json)


if __name__ == "__main__":
    main()
