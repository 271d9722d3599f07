"""The processes of the gateway benchmark: the instant upstream, our control plane with its token log, LiteLLM proxy.

Each gateway is one process on one core; upstream, token log and load share the other cores. LiteLLM is installed into
an environment of its own, which is kept for the next run.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]

from benchmarks.gateway_load import Target
from benchmarks.mock_upstream import MODEL
from benchmarks.stack import free_port
from edgewise.local.keys_file import KEYS_FILE, read_keys
from edgewise.local.valkey import launch

LITELLM_VERSION = "1.106.0"
ENVIRONMENTS = Path(__file__).resolve().parents[1] / ".bench"
READY_WITHIN_S = 120.0
STREAM_TTL_S = 20
"""Seconds that an ended stream stays in the token log here: a run makes more of them than its memory would hold."""
_POLL_S = 0.1


@dataclass(frozen=True)
class Subject:
    """Something under load: who it is, where it listens, and the process whose time and memory count."""

    name: str
    target: Target
    process: psutil.Process

    @property
    def cpu_s(self) -> float:
        """Processor seconds so far, of the process and all its threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @property
    def rss_mb(self) -> float:
        """Resident memory in MiB."""
        return float(self.process.memory_info().rss) / 2**20


@dataclass(frozen=True)
class Cores:
    """Which processor cores the gateway gets, and which everything else; empty sets where they cannot be chosen."""

    gateway: frozenset[int]
    rest: frozenset[int]

    @property
    def words(self) -> str:
        """For the condition of a row."""
        return "gateway pinned to one core" if self.gateway else "not pinned"


def share_cores() -> Cores:
    """Keep this process, and what it starts, off one core, which the gateways get in turn."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return Cores(frozenset(), frozenset())
    *rest, gateway = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, rest)
    return Cores(frozenset([gateway]), frozenset(rest))


@contextlib.contextmanager
def mock_upstream(environ: dict[str, str] | None = None) -> Iterator[Subject]:
    """The upstream in a process of its own; `environ` may set its length and pace."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.mock_upstream:app", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    base_url = f"http://127.0.0.1:{port}"
    with _running(command, f"{base_url}/v1/models", frozenset(), environ) as process:
        yield Subject("upstream", Target(f"{base_url}/v1", MODEL, "none"), process)


@contextlib.contextmanager
def edgewise(upstream: Target, cores: Cores) -> Iterator[Subject]:
    """`edgewise control` as an operator runs it: Valkey with fsync always, SQLite, seed policy, first keys."""
    with tempfile.TemporaryDirectory(prefix="ew-bench-") as folder:
        data_dir = Path(folder)
        server = launch(data_dir)
        try:
            server.wait_ready()
            with _control(upstream, cores, data_dir, server.url) as subject:
                yield subject
        finally:
            server.stop()


@contextlib.contextmanager
def _control(upstream: Target, cores: Cores, data_dir: Path, log_url: str) -> Iterator[Subject]:
    port = free_port()
    command = [sys.executable, "-m", "edgewise.cli.main", "control", "--port", str(port)]
    command += ["--data-dir", str(data_dir), "--log-url", log_url]
    upstreams = [{"name": "mock", "base_url": upstream.base_url, "model": upstream.model}]
    environ = {"EDGEWISE_UPSTREAMS": json.dumps(upstreams)}
    environ |= {f"EDGEWISE_{name}_TTL_S": str(STREAM_TTL_S) for name in ("STREAM", "UNSEALED")}
    base_url = f"http://127.0.0.1:{port}"
    with _running(command, f"{base_url}/readyz", cores.gateway, environ) as process:
        key = read_keys(data_dir / KEYS_FILE).app
        yield Subject("edgewise", Target(f"{base_url}/v1", upstream.model, key), process)


@contextlib.contextmanager
def litellm(upstream: Target, cores: Cores) -> Iterator[Subject]:
    """LiteLLM proxy, one worker, as its documentation starts it. Raises RuntimeError when it cannot be installed."""
    program = install_litellm()
    port = free_port()
    config = {
        "model_list": [
            {
                "model_name": upstream.model,
                "litellm_params": {
                    "model": f"openai/{upstream.model}",
                    "api_base": upstream.base_url,
                    "api_key": "none",
                },
            }
        ],
        "general_settings": {"master_key": "sk-bench"},
        "litellm_settings": {"telemetry": False},
    }
    with tempfile.TemporaryDirectory(prefix="litellm-bench-") as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        command = [str(program), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--num_workers", "1", "--telemetry", "False"]
        environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        base_url = f"http://127.0.0.1:{port}"
        with _running(command, f"{base_url}/health/liveliness", cores.gateway, environ) as process:
            yield Subject(f"LiteLLM {LITELLM_VERSION}", Target(f"{base_url}/v1", upstream.model, "sk-bench"), process)


def install_litellm(environments: Path = ENVIRONMENTS) -> Path:
    """The `litellm` program of the pinned version, installed on the first call. Raises RuntimeError in pip's words."""
    folder = environments / f"litellm-{LITELLM_VERSION}"
    done = folder / "installed"
    if not done.exists():
        _call([sys.executable, "-m", "venv", "--clear", str(folder)])
        _call([str(folder / "bin" / "pip"), "install", "--quiet", f"litellm[proxy]=={LITELLM_VERSION}"])
        done.touch()
    return folder / "bin" / "litellm"


def _call(command: Sequence[str]) -> None:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed: {result.stdout.strip()[-300:]}")


@contextlib.contextmanager
def _running(
    command: Sequence[str], ready_url: str, cores: frozenset[int], environ: dict[str, str] | None = None
) -> Iterator[psutil.Process]:
    """A child process from the moment `ready_url` answers until the block ends, with what it says in a file that is
    shown when it fails. Raises RuntimeError."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"} | (environ or {})
        )
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            if not _answers(ready_url, process):
                said.seek(0)
                raise RuntimeError(f"{command[0]} is not ready: {said.read().decode(errors='replace')[-500:]}")
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(30.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    give_up_at = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < give_up_at:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2.0).status_code == 200:
                return True
        time.sleep(_POLL_S)
    return False
