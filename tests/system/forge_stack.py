"""A real control plane and a real `edgewise forge`, which can be killed and started again; their clients."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from control_plane.accounts.first_keys import read_first_keys

WITHIN_S = 30.0
ADMIN, NODES = "/admin/v1/jobs", "/internal/v1/jobs"


class ForgeStack:
    """Processes below one folder. Kinds `test.staged` and `test.broken` are known to both sides."""

    def __init__(self, folder: Path, log_url: str) -> None:
        self.folder = folder
        self._log_url = log_url
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log = (folder / "processes.log").open("ab")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"

    def start_control(self) -> None:
        """Start it and wait until it answers."""
        port = self.url.rpartition(":")[2]
        environ = {"EDGEWISE_JOB_MODULES": "tests.control_plane.jobs.forge_module"}
        line = ["control", "--data-dir", str(self.folder), "--port", port, "--log-url", self._log_url]
        self._start("control", line, environ)
        until(self._answers, "the control plane")
        keys = read_first_keys(self.folder)
        assert keys is not None
        self.operator, self.node = self._client(keys.operator), self._client(keys.node)

    def start_forge(self) -> None:
        """Start it."""
        environ = {"EDGEWISE_FORGE_MODULES": "tests.cloud_worker.forge.jobs.bodies", "EDGEWISE_FORGE_POLL_S": "0.1"}
        key_file = str(self.folder / "keys.json")
        line = ["forge", "--url", self.url, "--key-file", key_file, "--data-dir", str(self.folder / "forge")]
        self._start("forge", line, environ | {"EDGEWISE_FORGE_KINDS": "test.staged,test.broken"})

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._processes[name].kill()
        self._processes.pop(name).wait()

    def stop(self, name: str) -> int:
        """SIGTERM; the exit status."""
        self._processes[name].terminate()
        return self._processes.pop(name).wait(WITHIN_S)

    def add(self, kind: str = "test.staged", **payload: str) -> str:
        """A job's id."""
        response = self.operator.post(ADMIN, json={"kind": kind, "payload": payload})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """As the admin API shows it."""
        found: dict[str, Any] = self.operator.get(f"{ADMIN}/{job_id}").json()
        return found

    def await_state(self, job_id: str, state: str) -> dict[str, Any]:
        """The job, once it is in this state."""
        until(lambda: self.job(job_id)["state"] == state, f"{state}; it is {self.job(job_id)}")
        return self.job(job_id)

    def held(self, job_id: str) -> Path:
        """The folder of a job whose body waits for ever."""
        folder = self.folder / "forge" / "jobs" / job_id
        until((folder / "held").exists, "the body to hold")
        return folder

    def refused_as_zombie(self, job_id: str, epoch: int) -> bool:
        """Whether nothing can be said any more under this epoch."""
        says: dict[str, dict[str, Any]] = {
            "heartbeat": {"progress": 0.9},
            "complete": {"result": {"from": "a zombie"}},
            "fail": {"error": "from a zombie"},
            "give-back": {},
        }
        answers = [
            self.node.post(f"{NODES}/{job_id}/{verb}", json={"epoch": epoch, **said}) for verb, said in says.items()
        ]
        return [answer.status_code for answer in answers] == [409] * len(says)

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)
        self._log.close()

    def _client(self, key: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=20)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False, verify=False).status_code < 500
        except httpx.TransportError:
            return False

    def _start(self, name: str, line: list[str], environ: dict[str, str]) -> None:
        environ = os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"} | environ
        command = [sys.executable, "-m", "edgewise.cli.main", *line]
        self._processes[name] = subprocess.Popen(command, env=environ, stdout=self._log, stderr=subprocess.STDOUT)


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds. Raises AssertionError after WITHIN_S."""
    give_up_at = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {WITHIN_S:g} s for {what}"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether no such process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
