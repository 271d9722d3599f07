"""A real agent process and what may be done to it: texts without end, a data directory that is full or read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from edgewise.local.supervisor import CONFIG_EXIT_CODE
from tests.edge_agent.test_main import address, start

MILLION = 1_000_000
GROWTH_MAX_KB = 48 << 10
"""Encoding a million characters at once took 150 to 250 MB; the body itself, its parts and what is counted of them
are a few."""
SMALL_DISK = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def ask(client: httpx.Client, text: str, *, stream: bool = False) -> httpx.Response:
    messages = [{"role": "user", "content": text}]
    body = {"model": "edgewise", "messages": messages, "max_tokens": 4, "seed": 1, "stream": stream}
    return client.post("/v1/chat/completions", json=body)


def peak_kb(process: subprocess.Popen[str]) -> int:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


@contextmanager
def client_of(process: subprocess.Popen[str]) -> Iterator[httpx.Client]:
    try:
        with httpx.Client(base_url=address(process.stderr), trust_env=False, timeout=60.0) as client:
            yield client
    finally:
        process.kill()
        process.communicate()


def test_a_million_characters_are_refused_by_name_in_little_memory(tiny_dir: Path, tmp_path: Path) -> None:
    with client_of(
        process := start("--model", str(tiny_dir), "--data-dir", str(tmp_path / "d"), "--local-port", "0")
    ) as client:
        whole = ask(client, "hi").json()["choices"][0]["message"]["content"]
        before = peak_kb(process)
        for text in ("word " * (MILLION // 5), "x" * MILLION, "你" * (MILLION // 2)):
            for stream in (False, True):
                refused = ask(client, text, stream=stream)
                told = refused.json()["error"]
                assert (refused.status_code, told["code"]) == (400, "context_length_exceeded")
                assert f"{len(text)} characters" in told["message"] and told["remedy"]
                assert len(refused.content) < 2000, "the text is not sent back"
        too_large = ask(client, "你" * MILLION)
        assert (too_large.status_code, too_large.json()["error"]["code"]) == (413, "body_too_large")
        assert peak_kb(process) - before < GROWTH_MAX_KB
        assert ask(client, "hi").json()["choices"][0]["message"]["content"] == whole


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    probe = shutil.which("unshare") and subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False)
    if not probe or probe.returncode:
        pytest.skip("this machine gives no mount namespace")
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def start_on(disk: Path, model: Path, options: str) -> subprocess.Popen[str]:
    """An agent whose data directory is a small file system of its own."""
    agent = [sys.executable, "-m", "edgewise.cli.main", "agent", "--model", str(model), "--data-dir", str(disk)]
    command = [*NAMESPACE, "sh", "-c", SMALL_DISK, "sh", options, str(disk), *agent, "--local-port", "0"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environ)


@pytest.mark.parametrize("options", ["ro", "size=4k"])
def test_a_data_directory_that_cannot_be_written_to_is_named_at_the_start(
    disk: Path, tiny_dir: Path, options: str
) -> None:
    process = start_on(disk, tiny_dir, options)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == CONFIG_EXIT_CODE
    assert str(disk) in told and "writable" in told and "To do:" in told and "Traceback" not in told


def test_a_disk_that_fills_while_it_runs_is_told_and_left_behind_when_there_is_room(disk: Path, tiny_dir: Path) -> None:
    with client_of(process := start_on(disk, tiny_dir, "size=1m")) as client:
        whole = ask(client, "hi").json()["choices"][0]["message"]["content"]
        ballast = Path(f"/proc/{process.pid}/root{disk}/ballast")
        fill(ballast)
        codes = {(answer := ask(client, "hi")).status_code for _ in range(3)}
        assert (
            codes == {503} and answer.json()["error"]["code"] == "log_unavailable" and answer.json()["error"]["remedy"]
        )
        assert client.get("/healthz").json()["status"] == "ok"
        ballast.unlink()
        assert ask(client, "hi").json()["choices"][0]["message"]["content"] == whole


def fill(ballast: Path) -> None:
    """Write until the file system has no room."""
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        while True:
            file.write(bytes(512))
