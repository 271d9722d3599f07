"""The agent's process while its model comes, goes and changes: SIGHUP, want of memory, kills at every such point."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from edgewise.wire.manifest import load_manifest
from tests.edge_agent.test_main import READY, start
from tests.edge_agent.tiny_model import write_tiny_model

IDLE_MAX_MB = 120
OPENING, OPENED, UNLOADED, NOT_SERVED = "opening the model", r"model \S+ opened", r"model \S+ unloaded", "is not served"


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two models, and a third that is damaged."""
    old, new, bad = (tmp_path_factory.mktemp(name) for name in ("old", "new", "bad"))
    write_tiny_model(old)
    write_tiny_model(new, seed=11)
    shutil.copytree(new, bad, dirs_exist_ok=True)
    (bad / "model.onnx").write_bytes((bad / "model.onnx").read_bytes()[:-64])
    return old, new, bad


class Agent:
    """A real agent whose model is where a pointer leads, and whose memory is what a facts file says."""

    def __init__(self, directory: Path, model: Path) -> None:
        self.pointer, self.facts, self.data = directory / "current", directory / "facts.json", directory / "data"
        self.point_at(model)

    def point_at(self, model: Path) -> None:
        beside = self.pointer.with_name("next")
        beside.symlink_to(model)
        beside.replace(self.pointer)

    def memory_in_use(self, pct: float) -> None:
        beside = self.facts.with_name("facts.next")
        beside.write_text(json.dumps({"memory_pct": pct}))
        beside.replace(self.facts)

    @contextmanager
    def process(self, code: str = "") -> Iterator[subprocess.Popen[str]]:
        """The command, or `code` with the agent's settings in its environment; killed at the end, however it goes."""
        process = self._run(code) if code else self._start()
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        flags = ["--model", str(self.pointer), "--data-dir", str(self.data), "--local-port", "0"]
        return start(*flags, "--device-facts", str(self.facts))

    def _run(self, code: str) -> subprocess.Popen[str]:
        told = {"MODEL_DIR": self.pointer, "DATA_DIR": self.data, "LOCAL_PORT": 0, "DEVICE_FACTS": self.facts}
        environ = {**os.environ, "OMP_NUM_THREADS": "1"} | {f"EDGEWISE_AGENT_{n}": str(v) for n, v in told.items()}
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environ)


def until_said(process: subprocess.Popen[str], pattern: str) -> str:
    """Read the log up to a line with `pattern`; returns what matched."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found.group(found.lastindex or 0)
    raise AssertionError(f"the agent ended without saying {pattern}")


def ready(process: subprocess.Popen[str]) -> httpx.Client:
    return httpx.Client(base_url=until_said(process, READY.pattern), trust_env=False, timeout=30.0)


def ask(client: httpx.Client) -> httpx.Response:
    body = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "seed": 1}
    return client.post("/v1/chat/completions", json=body)


def text(client: httpx.Client) -> str:
    told: Any = ask(client).json()
    said: str = told["choices"][0]["message"]["content"]
    return said


def test_sighup_takes_the_version_that_the_pointer_leads_to(tmp_path: Path, versions: tuple[Path, Path, Path]) -> None:
    old, new, bad = versions
    agent = Agent(tmp_path, old)
    with agent.process() as process, ready(process) as client:
        before = text(client)
        agent.point_at(bad)
        process.send_signal(signal.SIGHUP)
        until_said(process, NOT_SERVED)
        assert text(client) == before
        agent.point_at(new)
        process.send_signal(signal.SIGHUP)
        until_said(process, OPENED)
        after, health = text(client), client.get("/healthz").json()
        assert after != before
        assert health["version"] == load_manifest(new).id[:12] and health["healthy"] and health["loaded"]
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=20)[1]
        assert process.returncode == 0 and "Traceback" not in rest


def test_it_comes_back_serving_wherever_it_is_killed(tmp_path: Path, versions: tuple[Path, Path, Path]) -> None:
    old, new, _ = versions
    agent = Agent(tmp_path, old)
    with agent.process() as process:
        until_said(process, OPENING)  # killed while it loads for the first time
    with agent.process() as process, ready(process) as client:
        first = text(client)
        agent.point_at(new)
        process.send_signal(signal.SIGHUP)
        until_said(process, OPENING)  # killed while it loads the next version beside the old
    with agent.process() as process, ready(process) as client:
        second = text(client)
        assert second != first
        agent.memory_in_use(99.5)
        until_said(process, "memory: free → unloaded")  # killed while it unloads
    agent.memory_in_use(10.0)
    with agent.process() as process, ready(process) as client:
        assert text(client) == second


ALONE = """
import asyncio, logging
from edge_agent.config import AgentConfig
from edge_agent.main import run_agent

logging.basicConfig(level=logging.INFO)
asyncio.run(run_agent(AgentConfig.load()))
"""
"""The agent without the `edgewise` command around it, which is free to import what a device has not installed."""


def test_an_agent_without_memory_is_small_and_says_why_it_refuses(
    tmp_path: Path, versions: tuple[Path, Path, Path]
) -> None:
    agent = Agent(tmp_path, versions[0])
    with agent.process(ALONE) as process, ready(process) as client:
        assert text(client)
        agent.memory_in_use(99.5)
        until_said(process, UNLOADED)
        health = client.get("/healthz").json()
        assert (health["loaded"], health["accepts"], health["healthy"]) == (False, "none", True)
        assert health["ladder"]["memory"] == "unloaded" and "short of memory" in health["reason"]
        refused = ask(client)
        assert refused.status_code == 503 and "short of memory" in refused.json()["error"]["message"]
        assert float(refused.headers["retry-after"]) > 1
        rss = psutil.Process(process.pid).memory_info().rss
        print(f"RSS {rss / 1e6:.0f} MB")
        assert rss < IDLE_MAX_MB * 1_000_000


RELOADS = """
import asyncio, logging
from edge_agent.agent import EdgeAgent
from edge_agent.config import AgentConfig
from edge_agent.ladder import Accept, Limits

async def main():
    async with EdgeAgent.running(AgentConfig.load(ladder="off")) as agent:
        models = agent.tier.models
        models.obey(Limits(loaded=False, accept=Accept.NONE))
        while models.alive:
            await asyncio.sleep(0.01)
        models.obey(Limits())
        await asyncio.sleep(60)

logging.basicConfig(level=logging.INFO)
asyncio.run(main())
"""


def test_it_comes_back_serving_when_it_is_killed_while_it_loads_again(
    tmp_path: Path, versions: tuple[Path, Path, Path]
) -> None:
    agent = Agent(tmp_path, versions[0])
    with agent.process(RELOADS) as process:
        for pattern in (OPENING, UNLOADED, OPENING):
            until_said(process, pattern)
    with agent.process() as again, ready(again) as client:
        assert text(client)
